"""ResNet-18 for any number of channels (He et al. 2016, "Deep residual learning", table 1)."""

from torch import Tensor, nn

LAYERS = ("layer1", "layer2", "layer3", "layer4")


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; maps (b, before, h, w) to (b, after, h/s, w/s)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's maps."""
        inner = nn.functional.relu(self.norm1(self.conv1(x)))
        return nn.functional.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class ResNet18(nn.Module):
    """A stem, four layers of two residual blocks, average pooling and a linear classifier.

    Parameters
    ----------
    n_channels : int
        Channels of the input: elements.
    n_classes : int
        Logits.
    width : int
        Channels of the stem, doubled in each layer after the first; 64 in He et al.

    Notes
    -----
    Maps (b, n_channels, h, w) to (b, n_classes). Its maps are a quarter of the input's cells a
    side after ``layer1`` and half the former after each further layer, rounded up.
    """

    def __init__(self, n_channels: int, n_classes: int = 2, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_channels, width, 7, stride=2, padding=3, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        before = width
        for k, name in enumerate(LAYERS):
            after = width * 2**k
            first = ResidualBlock(before, after, stride=1 if k == 0 else 2)
            self.add_module(name, nn.Sequential(first, ResidualBlock(after, after, stride=1)))
            before = after
        self.classify = nn.Linear(before, n_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of each window."""
        x = self.pool(nn.functional.relu(self.norm1(self.conv1(x))))
        for name in LAYERS:
            x = self.get_submodule(name)(x)
        return self.classify(x.mean(dim=(2, 3)))
