"""Southern Tianshan as the paper draws it: Figs. 7, 9, 10 and 11, with axes that are right.

    python docs/experiments/gk_dcn_figures.py [--smallest] [--output docs/experiments/results]

The archive has fault weights in twelve rings and no fault lines: distances are ring numbers. GK-DCN
learns from the archive's 84 deposit and 84 background cells.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt

import xgeoanom as xga
from xgeoanom.detectors import GKDCN, grad_cam_at, offsets_at


def law_of(ds: xr.Dataset) -> xga.DensityLaw:
    """Return the law of density over ring numbers."""
    weight = ds["fault_weight"]
    rings = np.unique(weight.values)[::-1]
    number = weight.copy(data=1.0 + np.searchsorted(-rings, -weight.values))
    number = number.where(ds["support"]).assign_attrs(units="rings")
    return xga.density_law(number, ds["labels"], rings=range(len(rings) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="two epochs")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")  # ten deposits are few
    ds = xga.datasets.tianshan()
    deposits = xga.deposit_centres(ds["labels"])

    law = law_of(ds)
    print(law)
    fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
    xga.plot.density_law(law, ax=ax)
    fig.savefig(args.output / "gk_dcn_fig7.png", dpi=100)

    components = xga.principal_components(ds["clr"], robust=True, n_components=2, seed=0)
    first = components["scores"].sel(component="PC1")
    fig, axes = plt.subplots(1, 2, figsize=(12, 4.5), width_ratios=(2, 1), layout="constrained")
    xga.plot.score_map(first, deposits=deposits, ax=axes[0])
    xga.plot.biplot(components, ax=axes[1])
    fig.savefig(args.output / "gk_dcn_fig9.png", dpi=100)

    detector = GKDCN(epochs=2 if args.smallest else 80, seed=0)
    detector.fit(ds["clr"], ds["labels"], evidence=ds)
    print(*(f"{name} = {detector.history_[0][name]:.3f}" for name in ("a", "b0")), sep=", ")
    fig, axes = plt.subplots(2, 1, figsize=(9, 8), layout="constrained")
    for ax, layer in zip(axes, ("conv2", "conv3"), strict=True):
        field = offsets_at(detector, ds["clr"], layer=layer, step=6)
        xga.plot.offsets(field, background=first, deposits=deposits, ax=ax)
        mean = float(np.hypot(field["east_cells"], field["north_cells"]).mean())
        print(f"{layer}: offsets of {mean:.2f} cells on average")
    fig.savefig(args.output / "gk_dcn_fig10.png", dpi=100)

    places = list(zip(deposits.geometry.x, deposits.geometry.y, strict=True))[:3]
    axes = xga.plot.patch_maps(grad_cam_at(detector, ds["clr"], places))
    axes.flat[0].figure.savefig(args.output / "gk_dcn_grad_cam.png", dpi=100)


if __name__ == "__main__":
    main()
