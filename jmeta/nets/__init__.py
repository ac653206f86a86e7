"""Networks, normalization policies, and adapters for other model libraries."""

from jmeta.nets.adapters import ConditionedModel, PureModel, from_equinox, from_nnx, in_precision
from jmeta.nets.attention import CrossShares, LabelTransformer, ProcessTransformer, attention_shares
from jmeta.nets.context import AttentionLSTM, BidirectionalLSTM
from jmeta.nets.conv import Conv, conv3x3, max_pool2x2
from jmeta.nets.dilated import DilatedConvNet
from jmeta.nets.drawings import DrawingNetwork
from jmeta.nets.metric import Metric, MetricEncoder
from jmeta.nets.networks import (
    MLP,
    ContextMLP,
    Conv4,
    ConvEncoder,
    ConvMap,
    ConvNet,
    CosineHead,
    FiLM,
    FiLMConvNet,
    Head,
    Linear,
    MLPEncoder,
    RelationHead,
)
from jmeta.nets.norms import BatchNorm, GroupNorm, LayerNorm, NoNorm, SupportNorm
from jmeta.nets.resnet import ResNet12, ResNet12Encoder, drop_block
from jmeta.nets.sentences import Bag, BagEncoder, SentenceTransformer, SentenceTransformerEncoder
from jmeta.nets.writer import LayerWriter

__all__ = [
    "MLP", "AttentionLSTM", "Bag", "BagEncoder", "BatchNorm", "BidirectionalLSTM", "ConditionedModel", "ContextMLP",
    "Conv", "Conv4", "ConvEncoder", "ConvMap", "ConvNet", "CosineHead", "CrossShares", "DilatedConvNet",
    "DrawingNetwork", "FiLM", "FiLMConvNet", "GroupNorm", "Head", "LabelTransformer", "LayerNorm", "LayerWriter",
    "Linear", "MLPEncoder", "Metric", "MetricEncoder", "NoNorm", "ProcessTransformer", "PureModel", "RelationHead",
    "ResNet12", "ResNet12Encoder", "SentenceTransformer", "SentenceTransformerEncoder", "SupportNorm",
    "attention_shares", "conv3x3", "drop_block", "from_equinox", "from_nnx", "in_precision", "max_pool2x2",
]  # fmt: skip
