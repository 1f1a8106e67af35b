"""The public names, so that none comes or goes unseen."""

import dsp_attention
import dsp_viz

LAYER = """
    DSPImageClassifier DSPModel DSPTransformerBlock DynamicContextEncoder DynamicSpectralPolarityAttention
    GradientInformedMixer HierarchicalClassifier HierarchicalPolarityProcessor MultiModalConvolution PolaFormerAttention
    PolarityLinearAttention SoftmaxAttention SpectralPolarityMixer WindowAttention create_dsp_model
"""
EXPLORER = """
    Analysis CheckpointError ImageError Subject analyse available explore images layer load maps register trace wrap
"""


def test_the_public_names_are_these() -> None:
    for package, names in ((dsp_attention, LAYER), (dsp_viz, EXPLORER)):
        assert package.__all__ == names.split()
        assert all(hasattr(package, name) for name in package.__all__)
