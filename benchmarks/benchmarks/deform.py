"""Deformable convolution beside the ordinary one: scoring patches and training, one thread."""

import torch
from torch import nn

from xgeoanom.nets.patch_cnn import PatchCNN

N_ELEMENTS, SIDE = 39, 9


class Patches:
    """The two networks of GK-DCN; memory must follow the batch alone."""

    params = ([8, 32, 128], ["plain", "deformable"])
    param_names = ("batch", "convolution")

    def setup(self, batch, convolution):
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.network = PatchCNN(N_ELEMENTS, deformable=convolution == "deformable")
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.patches = torch.randn(batch, N_ELEMENTS, SIDE, SIDE)
        self.labels = torch.arange(batch) % 2.0

    def teardown(self, batch, convolution):
        torch.set_num_threads(self.threads)

    def time_score(self, batch, convolution):
        self.network.eval()
        with torch.inference_mode():
            self.network(self.patches)

    def time_train(self, batch, convolution):
        self.network.train()
        self.optimizer.zero_grad()
        logits = self.network(self.patches)
        nn.functional.binary_cross_entropy_with_logits(logits, self.labels).backward()
        self.optimizer.step()

    def peakmem_train(self, batch, convolution):
        self.time_train(batch, convolution)
