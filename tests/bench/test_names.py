"""An unknown name is answered with the nearest known one."""

from bench.names import unknown


def test_a_near_name_is_suggested():
    error = unknown("network", "resnet81", ["cnn9", "resnet18"])
    assert isinstance(error, ValueError)
    assert str(error) == "unknown network 'resnet81'; did you mean 'resnet18'?"


def test_where_nothing_is_near_all_names_are_given_in_order():
    assert str(unknown("network", "vgg", ["resnet18", "cnn9"])) == "unknown network 'vgg'; allowed: cnn9, resnet18"


def test_where_there_are_none_it_says_so():
    assert str(unknown("option", "x", [])) == "unknown option 'x'; allowed: none"
