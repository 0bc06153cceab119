"""Each cross-domain baseline through the command line, on two domains and on three."""

import pytest


@pytest.mark.parametrize("model", ["C2DSR", "TriCDR"])
@pytest.mark.parametrize(("domains", "times"), [(2, 1), (3, 2)])
def test_one_epoch_through_the_command_line(run_cli, make_dataset, tmp_path, model, domains, times):
    folder = make_dataset(domains=domains)
    command = (
        f"run --model={model} --dataset=toy --epochs=1 --hidden_size=8 --show_progress=False "
        f"--data_path={folder.parent} --output_dir={tmp_path / 'out'}"
    ).split()
    tables = []
    for _ in range(times):
        outcome = run_cli(*command)
        assert outcome.status == 0, outcome.err
        tables.append([line for line in outcome.out.splitlines() if "written" not in line])
    assert tables[0] == tables[-1]  # a seed reproduces
    assert len(list((tmp_path / "out/toy" / model).glob("*/metrics.json"))) == times
