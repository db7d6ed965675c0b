import hashlib
import socket
import threading
from collections import OrderedDict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch import nn

from course_utils.models import pretrained
from course_utils.models.pretrained import PRETRAINED, PretrainedUnavailable, load_pretrained

torchvision_models = pytest.importorskip("torchvision.models")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder that a web server on this machine serves, and an empty download folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}", tmp_path / "home" / "hub" / "checkpoints"
    server.shutdown()
    server.server_close()


def publish(monkeypatch, served, name, state):
    """Put weights on the server under a name that ends in their hash, as torchvision does; returns the file."""
    folder, address, _ = served
    torch.save(state, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    file = (folder / "new.pth").rename(folder / f"{name}-{digest}.pth")
    serve(monkeypatch, f"{address}/{file.name}")
    return file


def serve(monkeypatch, url):
    """Let torchvision fetch its published weights from `url`."""

    def load(published, **options):
        assert published.startswith("https://download.pytorch.org/")
        return torch.hub.load_state_dict_from_url(url, **options)

    monkeypatch.setattr(torchvision_models._api, "load_state_dict_from_url", load)


def thin(model):
    """A state whose file is small at full shape: each weight is one random number per output, expanded."""
    return OrderedDict(
        (key, (0.02 * torch.randn(value.shape[:1] + (1,) * (value.dim() - 1))).expand(value.shape))
        for key, value in model.state_dict().items()
    )


@pytest.mark.slow
def test_published_weights_come_into_our_model(served, monkeypatch):
    torch.manual_seed(0)
    with torch.device("meta"):
        theirs = torchvision_models.alexnet()
    state = thin(theirs)
    theirs.load_state_dict(state, assign=True)
    file = publish(monkeypatch, served, "alexnet", state)
    ours = load_pretrained("alexnet")
    assert not ours.training and not theirs.eval().training
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(ours(images), theirs(images), atol=1e-5)
    assert [kept.name for kept in served[2].iterdir()] == [file.name]

    file.unlink()  # the second call needs no server
    assert torch.equal(load_pretrained("alexnet").classifier[6].bias, ours.classifier[6].bias)


@pytest.mark.slow
def test_old_files_without_batch_counters(served, monkeypatch):
    torch.manual_seed(0)
    theirs = torchvision_models.resnet18().eval()
    state = {key: value for key, value in theirs.state_dict().items() if "num_batches" not in key}
    publish(monkeypatch, served, "resnet18", state)
    ours, images = load_pretrained("resnet18"), torch.randn(2, 3, 64, 64)
    assert all(not p.is_meta for p in [*ours.parameters(), *ours.buffers()])
    with torch.inference_mode():
        assert torch.allclose(ours(images), theirs(images), atol=1e-5)


@pytest.mark.slow
def test_googlenet_gets_its_own_normalisation(served, monkeypatch):
    torch.manual_seed(0)
    theirs = torchvision_models.googlenet(aux_logits=True, transform_input=True, init_weights=False).eval()
    publish(monkeypatch, served, "googlenet", theirs.state_dict())
    ours, images = load_pretrained("googlenet"), torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.allclose(ours(images), theirs(images), atol=1e-5)
    with pytest.raises(ValueError, match=r"got .*\[2, 1, 96, 96\]"):
        ours(torch.randn(2, 1, 96, 96))


@pytest.mark.parametrize("harm", [lambda content: content[:-1] + b"!", lambda content: content[:100]])
def test_a_damaged_download_is_refused(served, monkeypatch, harm):
    file = publish(monkeypatch, served, "alexnet", {"features.0.bias": torch.zeros(64)})
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(PretrainedUnavailable, match="invalid hash value") as caught:
        load_pretrained("alexnet")
    assert list(served[2].iterdir()) == [] and "\n" not in str(caught.value)


def test_a_file_that_became_damaged_is_refused_and_fetched_anew_once_deleted(served, monkeypatch):
    with torch.device("meta"):
        theirs = torchvision_models.alexnet()
    state = thin(theirs)
    file = publish(monkeypatch, served, "alexnet", state)
    load_pretrained("alexnet")
    kept = served[2] / file.name
    kept.write_bytes(kept.read_bytes()[:-50])
    with pytest.raises(PretrainedUnavailable, match="fetched anew once it is deleted") as caught:
        load_pretrained("alexnet")
    assert str(served[2]) not in str(caught.value) and "\n" not in str(caught.value)
    kept.unlink()
    assert torch.equal(load_pretrained("alexnet").features[0].bias, state["features.0.bias"])


def test_without_a_network_one_sentence(served, monkeypatch):
    before = socket.getdefaulttimeout()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        serve(monkeypatch, f"http://127.0.0.1:{unused.getsockname()[1]}/alexnet-0.pth")
        with pytest.raises(PretrainedUnavailable, match=r"could not be fetched .*refused") as caught:
            load_pretrained("alexnet")
    assert "\n" not in str(caught.value) and socket.getdefaulttimeout() == before


def test_no_folder_is_printed(served, monkeypatch, capfd):
    publish(monkeypatch, served, "alexnet", {"features.0.bias": torch.zeros(64)})
    with pytest.raises(RuntimeError, match="Missing key"):
        load_pretrained("alexnet")
    printed = capfd.readouterr()
    assert printed.out == "" and str(served[2]) not in printed.err


def test_a_missing_file_is_one_sentence_too(served, monkeypatch):
    serve(monkeypatch, f"{served[1]}/alexnet-00000000.pth")
    with pytest.raises(PretrainedUnavailable, match="could not be fetched"):
        load_pretrained("alexnet")


def test_a_silent_server_is_given_up_on(served, monkeypatch):
    monkeypatch.setattr(pretrained, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        serve(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}/alexnet-0.pth")
        with pytest.raises(PretrainedUnavailable, match="timed out"):
            load_pretrained("alexnet")


@pytest.mark.parametrize("name", PRETRAINED)
def test_every_name_is_torchvisions_model(name):
    weights = torchvision_models.get_model_weights(name).IMAGENET1K_V1
    with torch.device("meta"):
        ours: nn.Module = PRETRAINED[name]()
    assert sum(p.numel() for p in ours.parameters()) == weights.meta["num_params"]


def test_an_unknown_name_is_a_sentence():
    with pytest.raises(ValueError, match=r"name must be one of 'alexnet', .*; got 'lenet5'"):
        load_pretrained("lenet5")
