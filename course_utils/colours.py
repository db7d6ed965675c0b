"""The course's one palette, and the colour of each family of networks. Needs nothing but Python."""

COLOURS = {  # Okabe & Ito 2008: told apart by colour-blind readers and in grey print
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#7F7F7F",
    "black": "#222222",
}
FAMILIES = {  # the first prefix that fits decides; "mini" before it does not count
    "plain": "vermilion",
    "resnet": "blue",
    "residual": "blue",
    "vgg": "green",
    "alexnet": "orange",
    "googlenet": "purple",
    "inception": "purple",
    "lenet": "sky",
    "mlp": "black",
    "linear": "grey",
}


def family_colour(name: str, otherwise: str = "grey") -> str:
    """The colour of a network's family ("ResNet-50", "resnet18", "VGG-16", ...), else that named `otherwise`."""
    letters = "".join(c for c in name.lower() if c.isalpha()).removeprefix("mini")
    return COLOURS[next((FAMILIES[prefix] for prefix in FAMILIES if letters.startswith(prefix)), otherwise)]
