"""How tasks are related: learned covariances, affinities under a step, cosines of gradients, and groups of tasks."""

from jmeta.mtl.relatedness.affinity import MeanAffinity as MeanAffinity
from jmeta.mtl.relatedness.affinity import add_affinity as add_affinity
from jmeta.mtl.relatedness.affinity import no_affinity as no_affinity
from jmeta.mtl.relatedness.affinity import task_affinity as task_affinity
from jmeta.mtl.relatedness.cosines import gradient_cosines as gradient_cosines
from jmeta.mtl.relatedness.covariance import TaskCovariance as TaskCovariance
from jmeta.mtl.relatedness.covariance import correlations as correlations
from jmeta.mtl.relatedness.covariance import covariance_of as covariance_of
from jmeta.mtl.relatedness.covariance import pooled_ridge as pooled_ridge
from jmeta.mtl.relatedness.covariance import related_ridge as related_ridge
from jmeta.mtl.relatedness.covariance import task_covariance as task_covariance
from jmeta.mtl.relatedness.covariance import task_ridge as task_ridge
from jmeta.mtl.relatedness.evidence import TaskEvidence as TaskEvidence
from jmeta.mtl.relatedness.evidence import task_evidence as task_evidence
from jmeta.mtl.relatedness.grouping import group_tasks as group_tasks
from jmeta.mtl.relatedness.grouping import grouping_value as grouping_value
from jmeta.mtl.relatedness.heatmap import draw_heatmap as draw_heatmap
from jmeta.mtl.relatedness.tuning import explained_variance as explained_variance
from jmeta.mtl.relatedness.tuning import fold_numbers as fold_numbers
from jmeta.mtl.relatedness.tuning import held_out_errors as held_out_errors
