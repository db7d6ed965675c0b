"""torchvision's published ImageNet weights in this package's models, where there is a network."""

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from shutil import copyfileobj
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import urlopen

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.models._checks import check_choice
from course_utils.models.alexnet import alexnet
from course_utils.models.googlenet import googlenet
from course_utils.models.imagenet import Rescale
from course_utils.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from course_utils.models.vgg import vgg11, vgg13, vgg16, vgg19

PRETRAINED: dict[str, Callable[[], nn.Module]] = {
    "alexnet": alexnet,
    "vgg11": vgg11,
    "vgg11_bn": partial(vgg11, batch_norm=True),
    "vgg13": vgg13,
    "vgg13_bn": partial(vgg13, batch_norm=True),
    "vgg16": vgg16,
    "vgg16_bn": partial(vgg16, batch_norm=True),
    "vgg19": vgg19,
    "vgg19_bn": partial(vgg19, batch_norm=True),
    "googlenet": partial(googlenet, "torchvision", aux_logits=False),
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
}

TIMEOUT = 5.0  # seconds for the first answer, and for each later piece


class PretrainedUnavailable(RuntimeError):
    """Published weights could not be fetched, or what came is not what was published."""


def load_pretrained(name: str) -> nn.Module:
    """A model of this package with torchvision's published weights (IMAGENET1K_V1), in evaluation mode.

    `name` is a key of PRETRAINED, e.g. "vgg16_bn". The model takes images `[N, 3, 224, 224]` with ImageNet's
    normalisation, as `data.preprocess` gives them. A download is kept in torch.hub's folder, and its SHA-256 is
    compared with the published one at every call.
    Raises ValueError for another name, and PretrainedUnavailable, in one sentence, where the weights cannot be
    fetched within a few seconds or the file is damaged; a damaged file is removed.
    """
    check_choice("name", name, PRETRAINED)
    state = torch.load(_fetch(name, _published_url(name)), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        model = PRETRAINED[name]()
    if name == "googlenet":
        # The published file has auxiliary classifiers, of use in training only.
        state = {key: value for key, value in state.items() if not key.startswith("aux")}
    model.load_state_dict(state, assign=True)
    if name == "googlenet":
        _add_rescaling(model)
    return model.eval()


def _published_url(name: str) -> str:
    # Imported here: torchvision takes a second.
    from torchvision.models import get_model_weights

    return get_model_weights(name).IMAGENET1K_V1.url


def _fetch(name: str, url: str) -> Path:
    """Path of the weights on this machine, downloaded if need be; the file's name ends in its SHA-256's start."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    digest = path.stem.rpartition("-")[2]
    if path.exists():
        with path.open("rb") as file:
            intact = hashlib.file_digest(file, "sha256").hexdigest().startswith(digest)
        if not intact:
            path.unlink()
            raise PretrainedUnavailable(
                f"The weights of {name} in {path} were damaged and have been removed: "
                f'load_pretrained("{name}") fetches them anew.'
            )
        return path
    try:
        _download(url, path, digest)
    except OSError as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise PretrainedUnavailable(
            f"The published weights of {name} could not be fetched from {urlsplit(url).hostname} ({reason}); "
            "all that does not need them works without."
        ) from error
    return path


def _download(url: str, path: Path, digest: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under another name until it is whole and checked, so that a half file is never taken for the weights.
    with _open(url) as response, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        total = int(response.headers.get("Content-Length", 0)) or None
        with part.open("wb") as file, tqdm.wrapattr(response, "read", total=total, desc=path.name) as source:
            copyfileobj(source, file, 1 << 20)
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(digest):
            raise PretrainedUnavailable(
                f"The download of {path.name} from {urlsplit(url).hostname} is damaged "
                f"(SHA-256 {found[: len(digest)]} in place of {digest}) and was not kept."
            )
        part.replace(path)


def _open(url: str):
    """The response to a GET; in a thread, because the time limit of a socket does not cover the name server."""
    opened: Future = Future()

    def run() -> None:
        try:
            opened.set_result(urlopen(url, timeout=TIMEOUT))
        except Exception as error:  # handed to the caller
            opened.set_exception(error)

    Thread(target=run, daemon=True).start()
    return opened.result(timeout=TIMEOUT + 1)


def _add_rescaling(model: nn.Module) -> None:
    """Let the published GoogLeNet take ImageNet's normalisation: it was trained on pixels between -1 and 1.

    A hook, because a layer would change the names in `state_dict`.
    Source: torchvision's `transform_input`.
    """
    model.rescale = Rescale(mean=(0.5,) * 3, std=(0.5,) * 3)
    model.register_forward_pre_hook(_rescale_input)


def _rescale_input(model: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (model.rescale(*inputs),)
