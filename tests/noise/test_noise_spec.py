import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noise
from noise import NoiseSpec

EVERY_DIALECT = [(family, dialect) for family in noise.available() for dialect in noise.describe(family)["dialects"]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"family": "symetric", "rate": 0.2},
            "unknown noise family 'symetric'; did you mean 'symmetric'? available: " + ", ".join(noise.available()),
        ),
        ({"family": "xyz", "rate": 0.2}, "unknown noise family 'xyz'; available: " + ", ".join(noise.available())),
        ({"rate": 20}, "noise rate must be in [0, 1), got 20; for 20 % write 0.2"),
        ({"rate": 1}, "noise rate must be in [0, 1), got 1"),
        ({"rate": -0.1}, "noise rate must be in [0, 1), got -0.1"),
        ({"rate": float("nan")}, "noise rate must be in [0, 1), got nan"),
        ({"rate": "0.2"}, "noise rate must be a number in [0, 1), got '0.2'"),
        ({"rate": True}, "noise rate must be a number in [0, 1), got True"),
        (
            {"dialect": "co_teachin"},
            "noise family 'symmetric' has no dialect 'co_teachin'; did you mean 'co_teaching'? "
            "available: anl, apl, badlabels, co_teaching, dividemix, elr, inclusive, moit, mwnet, native, pencil, "
            "proselflc, sce",
        ),
        ({"flips": "exactly"}, "unknown noise flips 'exactly'; did you mean 'exact'? available: exact, iid, total"),
        (
            {"flips": "iid", "dialect": "elr"},
            "flips='iid' is for our own dialects only; dialect 'elr' has its own rule: exact overall",
        ),
        ({"map": "cifar10"}, "noise family 'symmetric' has no map 'cifar10'; available: none"),
        ({"options": {"std": 0.1}}, "noise family 'symmetric' has no option 'std'; available: none"),
        ({"options": [1]}, "noise options must be a table of names and values, got [1]"),
        ({"family": ["symmetric"]}, "noise family must be a text, got ['symmetric']"),
        (
            {"family": "instance", "options": {"sdt": 0.1}},
            "noise family 'instance' has no option 'sdt'; did you mean 'std'? available: layout, scale, std, upper",
        ),
        ({"family": "instance", "options": {"std": "0.1"}}, "noise option 'std' must be a number, got '0.1'"),
        ({"family": "instance", "options": {"std": 0}}, "noise option 'std' must be in [0.0001, 1], got 0"),
        ({"family": "instance", "options": {"upper": 1.5}}, "noise option 'upper' must be in (0, 1], got 1.5"),
        ({"family": "instance", "options": {"scale": 1}}, "noise option 'scale' must be a text, got 1"),
        (
            {"family": "instance", "options": {"scale": "unti"}},
            "unknown scale 'unti' of the images; did you mean 'unit'? available: raw, standard, unit",
        ),
        (
            {"family": "instance", "rate": 0.7, "options": {"upper": 0.6}},
            "noise rate must be below option 'upper' = 0.6, got 0.7",
        ),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(arguments, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        NoiseSpec(**{"family": "symmetric", "rate": 0.2, **arguments})
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symmetric", "noise 'symmetric' has no rate; write symmetric:0.2"),
        ("symmetric:dialect=elr", "noise 'symmetric:dialect=elr' has no rate; write symmetric:0.2"),
        ("symmetric:50%", "noise rate must be a number in [0, 1), got '50%'"),
        ("symmetric:20", "noise rate must be in [0, 1), got 20; for 20 % write 0.2"),
        ("symmetric:0.2:elr", "noise 'symmetric:0.2:elr': expected KEY=VALUE, got 'elr'"),
        (
            "symmetric:0.2:dialekt=elr",
            "noise family 'symmetric' has no key 'dialekt'; did you mean 'dialect'? available: dialect, flips, map",
        ),
        ("pairflip:0.2:flips=iid:flips=exact", "noise 'pairflip:0.2:flips=iid:flips=exact' gives 'flips' twice"),
        ("instance:0.2:std=wide", "noise option 'std' must be a number, got 'wide'"),
        ("human", "noise 'human' has no labels; write human:LABELS"),
        ("human:wurst", "unknown human labels 'wurst'; did you mean 'worst'? available: "),
        ("file:", "noise 'file:' has no path; write file:PATH"),
        ("transition:path=T.npy", "noise 'transition:path=T.npy' has no path; write transition:PATH"),
        ("none:0.2", "noise 'none:0.2': expected KEY=VALUE, got '0.2'"),
        ("none:assumed=1.5", "noise option 'assumed' must be in [0, 1), got 1.5"),
        (
            "asymmetric:0.4:map=cifar",
            "noise family 'asymmetric' has no map 'cifar'; did you mean 'cifar10'? available: ",
        ),
        (
            "asymmetric:0.4:map=mnist:dialect=gjs",
            "dialect 'gjs' of noise family 'asymmetric' has no map 'mnist'; available: superclass_next",
        ),
        ("instance:0.4:dialect=cores:std=0.2", "dialect 'cores' has std 0.1, upper 1 and scale raw"),
        ("openset:0.4:open=1.5", "noise option 'open' must be in [0, 1], got 1.5"),
        ("pmd:s.npy:type=IV", "unknown PMD type 'IV'; "),
        ("pmd:s.npy:factor=0", "noise option 'factor' must be above 0, got 0"),
    ],
)
def test_a_wrong_text_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        NoiseSpec.parse(text)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"family": "symmetric", "rat": 0.2}, "unknown noise key 'rat'; did you mean 'rate'?"),
        ({"family": "symmetric"}, "noise rate must be a number in [0, 1), got None"),
        ({}, "noise needs 'family', got only: nothing"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(data, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the start of the text is compared
        NoiseSpec.from_dict(data)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("symmetric:0.5", NoiseSpec("symmetric", 0.5)),
        ("symmetric:.5:dialect=co_teaching", NoiseSpec("symmetric", 0.5, "co_teaching")),
        ("pairflip:0.45:flips=iid", NoiseSpec("pairflip", 0.45, flips="iid")),
        ("human:worst", NoiseSpec("human", options={"labels": "worst"})),
        ("none", NoiseSpec("none")),
        ("none:assumed=0.385", NoiseSpec("none", options={"assumed": 0.385})),
        ("file:a/b.json:sha256=ab", NoiseSpec("file", options={"path": "a/b.json", "sha256": "ab"})),
        ("seal:0.3:path=s.npy", NoiseSpec("seal", 0.3, options={"path": "s.npy"})),
        ("instance:0.4:dialect=cores", NoiseSpec("instance", 0.4, "cores", options={"layout": "chw"})),
        ("asymmetric:0.4:map=cifar10", NoiseSpec("asymmetric", 0.4, map="cifar10")),
        ("instance:0.4:std=0.2", NoiseSpec("instance", 0.4, options={"std": 0.2})),
        (
            "instance:0.4:dialect=ptd,upper=0.6,layout=chw",
            NoiseSpec("instance", 0.4, "ptd", options={"upper": 0.6, "layout": "chw"}),
        ),
    ],
)
def test_a_spec_is_written_as_one_word(text, spec):
    assert NoiseSpec.parse(text) == spec
    assert NoiseSpec.parse(str(spec)) == spec


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    pair=st.sampled_from(EVERY_DIALECT),
    rate=st.floats(0, 1, exclude_max=True),
    std=st.floats(0.001, 1),
)
def test_text_and_table_bring_back_every_spec(pair, rate, std):
    family, dialect = pair
    options = {"std": std} if "std" in noise.describe(family)["options"] and dialect != "cores" else {}
    cls = noise.family_of(family)
    options |= {"path": "a.npy"} if cls.leading == "path" else {}
    spec = NoiseSpec(family, rate if cls.rated else None, dialect, options=options)
    assert NoiseSpec.parse(str(spec)) == spec
    assert NoiseSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_defaults_are_resolved_and_values_cast():
    spec = NoiseSpec("instance", np.float32(0.5), options={"upper": 1})
    assert json.dumps(spec.to_dict()) == json.dumps(
        {
            "family": "instance",
            "rate": 0.5,
            "dialect": "native",
            "flips": "exact",
            "map": None,
            "options": {"std": 0.1, "upper": 1.0, "scale": "raw", "layout": "hwc"},
        }
    )
    assert spec == NoiseSpec("instance", 0.5)
    assert hash(spec) == hash(NoiseSpec("instance", 0.5))


def test_labels_are_short_and_tell_close_rates_apart():
    texts = ["symmetric:0.57", "symmetric:0.575", "symmetric:0.5:dialect=elr", "pairflip:0.45:flips=iid"]
    texts += ["instance:0.4:dialect=ptd:std=0.2", "human:worst", "none", "asymmetric:0.4:map=cifar10"]
    texts.append("file:b.json:sha256=0123456789abcdef")
    assert [NoiseSpec.parse(text).label for text in texts] == [
        "symmetric 57%",
        "symmetric 57.5%",
        "symmetric 50% (elr)",
        "pairflip 45% (iid)",
        "instance 40% (ptd, std=0.2)",
        "human worst",
        "none",
        "asymmetric 40% (map=cifar10)",
        "file b.json (sha256=0123456789ab)",
    ]


def test_a_spec_does_not_change_when_the_options_it_was_given_do():
    options = {"std": 0.2}
    spec = NoiseSpec("instance", 0.3, options=options)
    options["std"] = 0.9
    assert spec.options["std"] == 0.2


@pytest.mark.parametrize("family", noise.available())
def test_a_listing_explains_every_family_and_dialect(family):
    data = noise.describe(family)
    assert json.loads(json.dumps(data)) == data
    assert data["definition"].endswith(".")
    assert next(iter(data["dialects"])) == "native"
    for dialect in data["dialects"].values():
        assert dialect["definition"]
        assert dialect["used_by"]
        conventions = ("exclusive", "inclusive", "as given", "as the matrix says", "by the network's classes")
        assert dialect["convention"] in conventions
        assert dialect["generator"] in ("PCG64", "RandomState", "Random", "none")
        for told in ("formula", "effective", "source", "flips"):
            assert dialect[told]


def test_a_family_name_is_taken_once():
    taken = noise.family_of("symmetric")
    with pytest.raises(ValueError, match="'symmetric' is registered twice: Symmetric, Symmetric"):
        noise.register("symmetric")(taken)
