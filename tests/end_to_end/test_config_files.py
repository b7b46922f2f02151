"""A config file that can't be read, or not as meant, ends with one line that names it, and exit code 2."""

import pytest

from tests.end_to_end.config_folder import Commands

WRITE = "write 'override /model: lean'"
BROKEN_FILES = [
    ("no_slash", "experiment/no_slash.yaml: 'override model' lacks a slash; write 'override /model: …'"),
    ("no_group", "experiment/no_group.yaml: 'override /optimizer': no such group; one of augmentation, averaging,"),
    ("no_default", "experiment/no_default.yaml: 'override /sweep': it has no default to replace; write '/sweep: …'"),
    (
        "overide",
        f"experiment/overide.yaml: 'overide /model: lean' would be a second model; to replace the first {WRITE}",
    ),
    (
        "second_model",
        f"experiment/second_model.yaml: '/model: lean' would be a second model; to replace the first {WRITE}",
    ),
    (
        "without_override",
        "experiment/without_override.yaml: 'model: lean': no such file experiment/model/lean.yaml; to ",
    ),
    (
        "no_space",
        "experiment/no_space.yaml: 'override/model: lean': no such file experiment/override/model/lean.yaml; ",
    ),
    ("no_file", "experiment/no_file.yaml: experiment/nowhere.yaml: no such file; defaults names files of the same"),
    ("no_dash", "experiment/no_dash.yaml: defaults must be a list; write '- ' before each of its entries"),
    ("one_dash", "experiment/one_dash.yaml: an entry of defaults has several keys; write '- ' before each of them"),
    ("tab", "/experiment/tab.yaml, line 3: holds a tab; indent with spaces"),
    (
        "one_line",
        "/experiment/one_line.yaml, line 2: a second ':' in one line, or a wrong indent; give each key its own",
    ),
    ("indent", "/experiment/indent.yaml, line 4: a second ':' in one line, or a wrong indent"),
    ("twice", "/experiment/twice.yaml, line 4: lr is given twice; keep one"),
    ("at", "/experiment/at.yaml, line 3: a value can't start with @; quote it"),
    ("bracket", "/experiment/bracket.yaml, line 4: expected ',' or ']'"),
    ("interpolation", "optim.lr: can't be read at ${seed; close its brackets"),
    ("latin", "/experiment/latin.yaml, line 3: is not UTF-8; save it in that encoding"),
    ("a_list", "experiment/a_list.yaml: is a list, or gives one to a node; must hold keys with values"),
    ("list_for_node", "experiment/list_for_node.yaml: is a list, or gives one to a node; must hold keys with values"),
    ("null_key", "experiment/null_key.yaml: null: is no key; in quotes it is text: 'null'"),
    ("text", "experiment.some text: nothing reads it (it is set in experiment/text.yaml)"),
    ("no_node", "optim=lr 0.1: must be a node with keys and values"),
    ("with_engine", "experiment/with_engine.yaml: hydra.launcher.engine: no such key with the choices of this command"),
]


LISTED = "in defaults: must be 'override /GROUP: CHOICE', or name a file of the same folder"
NO_PATH = "in defaults: a path has neither .. nor \\; write it from the config folder, as in /model/lean"
FURTHER_BROKEN_FILES = [
    ("circle", "experiment/circle.yaml: its defaults lead back to it, through experiment/other_half.yaml; take one of"),
    ("null_byte", "/experiment/null_byte.yaml, line 3: holds the character '\\x00'; take it out"),
    ("byte_order_mark", "/experiment/byte_order_mark.yaml, line 1: begins with a byte order mark; save it as UTF-8"),
    ("two_documents", "/experiment/two_documents.yaml, line 3: a second document begins; keep one, without ---"),
    ("open_quote", "/experiment/open_quote.yaml, line 4: a quote or a bracket is not closed"),
    ("alias", "/experiment/alias.yaml, line 3: *base refers to no &base above; quote a value that starts with *"),
    ("tag", "/experiment/tag.yaml, line 3: !python/object/apply:os.system is a tag, which builds nothing here"),
    ("number_in_defaults", f"experiment/number_in_defaults.yaml: '3' {LISTED}"),
    ("choice_is_number", f"experiment/choice_is_number.yaml: 'override /model: 3' {LISTED}"),
    ("optional", "experiment/optional.yaml: 'optional override /model: lean' in defaults: leave out optional"),
    ("parent", f"experiment/parent.yaml: '../model/lean' {NO_PATH}"),
    ("backslash", f"experiment/backslash.yaml: 'override \\model: lean' {NO_PATH}"),
    (
        "group_as_key",
        "experiment/group_as_key.yaml: 'model: lean' would replace all keys of model; write 'override /mo",
    ),
    (
        "wrong_package",
        "global: nothing reads it; the first line of experiment/wrong_package.yaml must be # @package _gl",
    ),
    ("comment_after_package", "experiment/comment_after_package.yaml: '# @package _global_ # all': must be # @package"),
    ("dotted_key", "optim.lr: nothing reads it (it is set in experiment/dotted_key.yaml); write optim: {lr: …}"),
    ("claim", "experiment/claim.yaml: claims.0.valu: no such key; did you mean claims.0.value?"),
    ("claim_without_words", "experiment/claim_without_words.yaml: claims.0.words: must be given"),
    ("two_packages", "experiment/two_packages.yaml: '# @package _global_' and '# @package optim': Hydra takes one"),
    ("late_package", "experiment/late_package.yaml: '# @package _global_': Hydra doesn't read it there; make it the"),
    ("searchpath", "experiment/searchpath.yaml: hydra.searchpath: has no effect in a chosen file; give it on the com"),
    ("self_twice", "experiment/self_twice.yaml: _self_ is twice in defaults; keep one"),
    ("no_space_after_colon", "experiment/no_space_after_colon.yaml: 'override /model:lean' in defaults: write 'over"),
    ("no_number", "experiment/no_number.yaml: optim.lr=fast: must be a number"),
    ("no_such_reference", "experiment/no_such_reference.yaml: optim.lr: Interpolation key 'optim.lrr' not found"),
    ("no_text", "experiment/no_text.yaml: tracking.project=3: must be text"),
    ("plain optim=mine", "optim/mine.yaml: optim.eps=tiny: must be a number"),
    ("asks", "experiment/asks.yaml: optim.lr=???: asks for a value, and none is given; add optim.lr=…"),
    ("null optim=asking", "optim/asking.yaml: optim.lr=???: asks for a value, and none is given; add optim.lr=…"),
    ("no_choice", "experiment/no_choice.yaml: 'override /model:' in defaults: model needs one choice; write 'override"),
    (
        "two_choices",
        "experiment/two_choices.yaml: 'override /model: [lean, stem3x3]' in defaults: model needs one choice",
    ),
    ("number", "experiment/number.yaml: holds 3 alone; must hold keys with values"),
    ("a_set", "experiment/a_set.yaml: optim: a set is no value of a config; write a list"),
    ("unhashable", "/experiment/unhashable.yaml, line 2: a key can't be a list or a dictionary; quote it"),
    ("no_such_model", "experiment/no_such_model.yaml: 'model: leen' in defaults: no such choice; did you mean lean?"),
    (
        "other_package",
        "experiment/other_package.yaml: 'override /model@net': it has no default to replace; write 'over",
    ),
    ("refers_in_defaults", "experiment/refers_in_defaults.yaml: '${size}' in defaults: names no group that is chosen"),
    (
        "replaces_itself",
        "experiment/replaces_itself.yaml: 'override /experiment: plain' would replace this file itself",
    ),
    ("second_optim", "experiment/second_optim.yaml: '/optim/sgd' in defaults would be mixed with the optim that is ch"),
    (
        "unknown_argument",
        "experiment/unknown_argument.yaml: optim._target_=torch.optim.Adam: got an unexpected keyword",
    ),
    ("2024", "experiment=2024: 2024 is no text; in quotes it is: 'experiment=\"2024\"'"),
    (
        "null optim=deeper",
        "optim/deeper.yaml: '/optim/adam' in defaults would be put into optim.optim; write '/optim/ad",
    ),
    ("null optim=deeper_by_key", "optim/deeper_by_key.yaml: '/optim: adam' in defaults would be put into optim.optim"),
    (
        "null optim=here_by_key",
        "optim/here_by_key.yaml: 'optim@_here_: adam' in defaults chooses this file again; write",
    ),
    (
        "null model=mine/net",
        "model/mine/net.yaml: '/model/lean' in defaults would be put into model.model; write '/mod",
    ),
    ("misnamed", "/experiment/misnamed.yml: must end in .yaml; rename it"),
]

YAML_VALUES = [
    ("experiment=octal", "experiment/octal.yaml, line 2: YAML reads 017 as 15; write '017' in quotes, or 15"),
    ("-m experiment=plain,octal", "experiment/octal.yaml, line 2: YAML reads 017 as 15; write '017' in quotes, or 15"),
    (
        "experiment=underscore",
        "experiment/underscore.yaml, line 2: YAML reads 1_000 as 1000; write '1_000' in quotes, or",
    ),
    (
        "experiment=base_60",
        "experiment/base_60.yaml, line 3: YAML reads 1:30.5 as 90.5; write '1:30.5' in quotes, or 90",
    ),
    ("experiment=off", "experiment/off.yaml, line 3: YAML reads off as false; write 'off' in quotes, or false"),
    (
        "-m hydra/launcher=cluster",
        "hydra/launcher/cluster.yaml, line 4: YAML reads 2:30:00 as 9000; write '2:30:00' in",
    ),
    ("-m +sweep=levels", "sweep/levels.yaml, line 5: YAML reads no as false; write 'no' in quotes, or false"),
    ("-m hydra/sweeper=search experiment=octal,plain", "experiment/octal.yaml, line 2: YAML reads 017 as 15"),
]


@pytest.mark.parametrize(
    "mode", ["experiment={}", "lrr=0.1 experiment={}", "-m experiment={},plain"], ids=["run", "with_typo", "swept"]
)
@pytest.mark.parametrize(("file", "message"), BROKEN_FILES)
def test_broken_file_is_named(file: str, message: str, mode: str, commands: Commands) -> None:
    commands.assert_one_line(mode.format(file), message, *(["lrr: no such key"] if "lrr" in mode else []))


@pytest.mark.parametrize(("file", "message"), FURTHER_BROKEN_FILES)
def test_further_broken_file_is_named(file: str, message: str, commands: Commands) -> None:
    commands.assert_one_line(f"experiment={file}", message)


@pytest.mark.parametrize(("typed", "message"), YAML_VALUES)
def test_value_that_yaml_reads_as_another_one_is_named(typed: str, message: str, commands: Commands) -> None:
    commands.assert_one_line(typed, message)
