"""What RecBole fails at ends in one line that names the key or the data, with status 2."""

import shutil

import numpy as np
import pytest
import synthetic

from recbole_edt.config import EDTConfig
from recbole_edt.errors import UserError
from recbole_edt.recbole_bridge.failures import named_failures, raised_in_recbole, shown_keys

FEATURES = {
    "color:token": "red",
    "tags:token_seq": "a b",
    "price:float": "3",
    "shape:float_seq": "",
}
LOADED = "--load_col={inter: [user_id, item_id, timestamp], item: [item_id, domain, %s]}"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a folder with a dataset of four item features and one of users, and their copies."""
    root = tmp_path_factory.mktemp("data")
    folder = synthetic.make_dataset(root)
    path = folder / "toy.item"
    header, *rows = path.read_text().splitlines()
    lines = ["\t".join([header, *FEATURES]), *("\t".join([r, *FEATURES.values()]) for r in rows)]
    path.write_text("\n".join(lines) + "\n")
    users = {row.split("\t")[0] for row in (folder / "toy.inter").read_text().splitlines()[1:]}
    text = "".join(f"{user}\told\n" for user in sorted(users))
    (folder / "toy.user").write_text("user_id:token\tage:token\n" + text)
    return root


@pytest.fixture
def run(run_cli, data, tmp_path):
    def run(model, *argv, dataset="toy"):
        where = (f"--data_path={data}", f"--output_dir={tmp_path}/out", "--show_progress=False")
        return run_cli("run", f"--model={model}", f"--dataset={dataset}", *where, *argv)

    return run


@pytest.mark.parametrize("model", ["SASRecF", "GRU4RecF", "FDSA"])
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "'class' is no column of toy.item, which has item_id, domain, title, color, tags, p"),
        (["--selected_features=[colour]"], "(did you mean 'color'?)"),
        (["--selected_features=[color]"],
         "column 'color' of toy.item is not loaded; load_col: item: [item_id, domain, color] l"),
        (["--selected_features=color"], "found 'color', expected a list"),
        (["--selected_features=[]"], "found [], expected a list of columns of toy.item"),
        (["--selected_features=null"], "found None, expected a list"),
        (["--selected_features=[age]", "--load_col=null"], "'age' is a column of toy.user; "),
        (["--selected_features=[price]", LOADED % "price"], "'price' of toy.item is of type float"),
        (["--selected_features=[shape]", LOADED % "shape"], "numerical_features"),
    ],
)  # fmt: skip
def test_features_that_a_model_cannot_read(run, model, argv, said):
    outcome = run(model, *argv)
    assert outcome.status == 2
    assert outcome.err.startswith("recbole-edt: selected_features: ")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_features_that_a_model_can_read(run):
    argv = ["--selected_features=[color,tags,price]", "--numerical_features=[price]", "--epochs=1"]
    outcome = run("SASRecF", *argv, LOADED % "color, tags, price")
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize(
    ("model", "argv", "said"),
    [
        ("NeuMF", ["--use_pretrain=True"], "use_pretrain: found True, expected False: NeuMF would"),
        ("NAIS", ["--pretrain_path=a.pth"], "pretrain_path: found 'a.pth', expected None: NAIS wo"),
        ("ConvNCF", ["--train_method=after_pretrain"], "train_method: found 'after_pretrain'"),
        ("S3Rec", [], "model: S3Rec brings its own training loop"),
        ("S3Rec", ["--train_stage=finetune", "--pre_model_path=a"], "S3Rec brings its own train"),
        ("RaCT", [], "model: RaCT brings its own training loop"),
        ("SASRecCPR", [], "model: SASRecCPR asks for the target when it ranks"),
        ("LDiffRec", ["--n_cate=2"], "n_cate: LDiffRec needs "),
        ("DGCF", [], "train_batch_size: found 2048, expected a smaller one: DGCF draws 44 users"),
        ("SASRec", ["--n_heads=3"], "multiple of the number of attention heads (3)"),
        ("FPMC", ["--loss_type=CE"], "model: FPMC cannot be built on toy: NotImplementedError: "),
        ("MacridVAE", ["--kfac=0"], "model: MacridVAE cannot be trained on toy: TypeError: "),
        ("BPR", ["--learner=sparse_adam"], "(changed keys: learner: 'sparse_adam')"),
        ("BPR", ["--clip_grad_norm=[1]"], "clip_grad_norm: found [1], expected a mapping such as"),
        ("BPR", ["--clip_grad_norm={max_norm: 1, norm_type: x}"], "norm_type: found 'x', expected"),
        ("BPR", ["--train_neg_sample_args={sample_num: 0}"], "sample_num: found 0, expected a wh"),
        ("BPR", ["--train_neg_sample_args={distribution: unifrom}"], "did you mean 'uniform'"),
        ("BPR", ["--train_neg_sample_args={dynamic: true}"], "candidate_num: found 0"),
        ("BPR", ["--normalize_field=[price]"], "normalize_field: 'price' is no column that load_c"),
        ("BPR", ["--load_col=null", "--normalize_field=[tags]"], "'tags' is of type token_seq, ex"),
        ("BPR", ["--load_col=null", "--normalize_all=True"], "(changed keys: load_col: None, norm"),
        ("BPR", ["--load_col=null", "--seq_len=3"], "seq_len: found 3, expected a mapping"),
        ("BPR", ["--load_col=null", "--seq_len={color: 3}"], "'color' is of type token, expected"),
        ("BPR", ["--load_col=null", "--alias_of_item_id=[tags]"], "hold 'a', expected items of to"),
        ("BPR", ["--load_col=null", "--discretization={price: {method: ED}}"],
         "discretization: price: expected the column in numerical_features too"),
        ("BPR", ["--load_col=null", "--numerical_features=[price]",
                 "--discretization={price: {method: ED}}"], "expected bucket: a whole number ab"),
        ("BPR", ["--threshold={price: 3}"], "toy.inter or .item cannot be read (ValueError: Field"),
    ],
)  # fmt: skip
def test_settings_that_recbole_fails_at(run, model, argv, said):
    outcome = run(model, *argv)
    assert outcome.status == 2, outcome.err
    assert said in outcome.err
    assert outcome.err.splitlines()[-1].startswith("recbole-edt: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'shape': (3,", "not a readable array"),
        (np.zeros((41, 4), np.float32), "float32 [41, 4], expected numbers [42, width]"),
        (np.array([{}] * 42), "not a readable array"),  # numpy would unpickle it
    ],
)
def test_item_vectors_of_ldiffrec(run, data, tmp_path, content, said):
    path = data / "toy" / "item_emb.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    outcome = run("LDiffRec", "--n_cate=2")
    path.unlink()
    assert outcome.status == 2
    assert f"{path}: {said}" in outcome.err


@pytest.mark.parametrize("model", ["BPR", "Pop", "SimpleX"])
def test_a_user_who_has_had_every_item(run, data, model):
    shutil.rmtree(data / "full", ignore_errors=True)
    folder = synthetic.make_dataset(data, "full", domains=2)
    items = [line.split("\t")[0] for line in (folder / "full.item").read_text().splitlines()[1:]]
    with open(folder / "full.inter", "a") as file:
        file.writelines(f"zz\t{item}\t{1_600_000_000 + n}\n" for n, item in enumerate(items))
    assert run(model, dataset="full").err == (
        "recbole-edt: dataset: full: user 'zz' has interacted with all 28 items, so that no "
        f"negative can be drawn for {model}; expected a model that draws none, or data made with "
        "--max_user_inter=27 of 'recbole-edt prepare'\n"
    )


def test_errors_of_this_package_stay_errors():
    config = EDTConfig("BPR", "toy", overrides={"embedding_size": 8})
    with pytest.raises(KeyError) as caught, named_failures("trained", config):
        {}["here"]
    assert not raised_in_recbole(caught.value)
    with pytest.raises(UserError, match="once"), named_failures("trained", config):
        raise UserError("once")
    assert config.changed == {"embedding_size": 8}
    assert shown_keys({}) == ""
