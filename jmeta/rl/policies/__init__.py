"""Policies: one file each, in the form of `Policy`."""

from jmeta.rl.policies.attention import attention_policy
from jmeta.rl.policies.gru import gru_policy
from jmeta.rl.policies.mlp import mlp_policy
from jmeta.rl.policies.policy import Decision, Policy, unroll
from jmeta.rl.policies.slots import slots_policy

__all__ = ["Decision", "Policy", "attention_policy", "gru_policy", "mlp_policy", "slots_policy", "unroll"]
