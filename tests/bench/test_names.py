"""An unknown name is answered with the nearest known one."""

from bench.names import few, unknown


def test_a_near_name_is_suggested():
    error = unknown("network", "resnet81", ["cnn9", "resnet18"])
    assert isinstance(error, ValueError)
    assert str(error) == "unknown network 'resnet81'; did you mean 'resnet18'?"


def test_where_nothing_is_near_all_names_are_given_in_order():
    assert str(unknown("network", "vgg", ["resnet18", "cnn9"])) == "unknown network 'vgg'; allowed: cnn9, resnet18"


def test_where_there_are_none_it_says_so():
    assert str(unknown("option", "x", [])) == "unknown option 'x'; allowed: none"


def test_of_many_names_the_first_few_are_given_and_the_others_counted():
    assert few(list("abcdef")) == "a, b, c, d, e, f"
    assert few(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
    assert few(list("abc"), 2, "; ") == "a; b and 1 more"
    assert few([]) == ""
