"""The published divisions of the classes of known data sets, as lists of names."""

from collections.abc import Sequence
from typing import NamedTuple


class Division(NamedTuple):
    """The names of the classes of each part, and what they are from, as "authors year, title, address"."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    paper: str


def _named(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CLASSES_OF = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
CIFAR100 = tuple(f"{above}/{name}" for above, names in _CLASSES_OF.items() for name in names.split())
"""The 100 classes of CIFAR-100 as superclass/class, in sorted order."""

_FS_VAL = _named("""
    beaver otter flatfish shark lamp television beetle butterfly sea camel cattle crab crocodile maple_tree motorcycle
    tractor
""")
_FS_TEST = _named("""
    whale poppy rose sweet_pepper telephone bed table wardrobe leopard plain chimpanzee fox snail worm baby man woman
    bicycle pickup_truck rocket
""")
_FC_VAL = _named("""
    large_carnivores large_omnivores_and_herbivores non-insect_invertebrates small_mammals
""")
_FC_TEST = _named("""
    aquatic_mammals insects medium_mammals people
""")
_RAVI_TRAIN = _named("""
    n01532829 n01558993 n01704323 n01749939 n01770081 n01843383 n01910747 n02074367 n02089867 n02091831 n02101006
    n02105505 n02108089 n02108551 n02108915 n02111277 n02113712 n02120079 n02165456 n02457408 n02606052 n02687172
    n02747177 n02795169 n02823428 n02966193 n03017168 n03047690 n03062245 n03207743 n03220513 n03337140 n03347037
    n03400231 n03476684 n03527444 n03676483 n03838899 n03854065 n03888605 n03908618 n03924679 n03998194 n04067472
    n04243546 n04251144 n04258138 n04275548 n04296562 n04389033 n04435653 n04443257 n04509417 n04515003 n04596742
    n04604644 n04612504 n06794110 n07584110 n07697537 n07747607 n09246464 n13054560 n13133613
""")
_RAVI_VAL = _named("""
    n01855672 n02091244 n02114548 n02138441 n02174001 n02950826 n02971356 n02981792 n03075370 n03417042 n03535780
    n03584254 n03770439 n03773504 n03980874 n09256479
""")
_RAVI_TEST = _named("""
    n01930112 n01981276 n02099601 n02110063 n02110341 n02116738 n02129165 n02219486 n02443484 n02871525 n03127925
    n03146219 n03272010 n03544143 n03775546 n04146614 n04149813 n04418357 n04522168 n07613480
""")
_TINY_TRAIN = _named("""
    n01443537 n01629819 n01641577 n01644900 n01698640 n01742172 n01768244 n01770393 n01774384 n01774750 n01784675
    n01855672 n01882714 n01910747 n01917289 n01944390 n01945685 n01950731 n01983481 n01984695 n02002724 n02056570
    n02058221 n02074367 n02165456 n02190166 n02206856 n02226429 n02231487 n02233338 n02236044 n02268443 n02279972
    n02281406 n02321529 n02364673 n02395406 n02403003 n02410509 n02415577 n02423022 n02437312 n02480495 n02481823
    n02486410 n02504458 n02669723 n02699494 n02730930 n02769748 n02788148 n02791270 n02793495 n02795169 n02802426
    n02808440 n02814533 n02814860 n02815834 n02823428 n02837789 n02843684 n02883205 n02892201 n02906734 n02909870
    n02917067 n02927161 n02963159 n02988304 n02999410 n03014705 n03026506 n03042490 n03089624 n03100240 n03160309
    n03179701 n03201208 n03250847 n03255030 n03355925 n03388043 n03393912 n03400231 n03404251 n03424325 n03444034
    n03447447 n03584254 n03599486 n03617480 n03637318 n03649909 n03662601 n03670208 n03763968 n03770439 n03796401
    n03837869 n03902125 n03930313 n03937543 n03970156 n03976657 n03977966 n03980874 n03983396 n04023962 n04070727
    n04099969 n04118538 n04133789 n04146614 n04149813 n04254777 n04259630 n04285008 n04311004 n04366367 n04371430
    n04398044 n04399382 n04417672 n04465501 n04486054 n04487081 n04501370 n04507155 n04532106 n04532670 n04540053
    n04560804 n04562935 n04596742 n04597913 n06596364 n07579787 n07583066 n07614500 n07615774 n07695742 n07711569
    n07715103 n07720875 n07734744 n07747607 n07749582 n07753592 n07768694 n07871810 n07873807 n07875152 n07920052
    n09193705 n09246464 n09256479 n09332890 n09428293 n12267677
""")
_TINY_VAL = _named("""
    n02085620 n02094433 n02099601 n02099712 n02106662 n02113799 n02123045 n02123394 n02124075 n02125311 n02129165
    n02132136 n02509815
""")
_TINY_TEST = _named("""
    n02666196 n02841315 n02948072 n02950826 n02977058 n03085013 n03126707 n03544143 n03706229 n03733131 n03804744
    n03814639 n03838899 n03854065 n03891332 n03992509 n04008634 n04067472 n04074963 n04179913 n04251144 n04265275
    n04275548 n04328186 n04356056 n04376876 n04456115
""")


def _others(classes: Sequence[str], *parts: Sequence[str]) -> tuple[str, ...]:
    """The classes that are in no part."""
    taken = {name for part in parts for name in part}
    return tuple(name for name in classes if name not in taken)


def _of_last(last: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in CIFAR100 if name.partition("/")[2] in last)


def _of_superclass(above: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in CIFAR100 if name.partition("/")[0] in above)


def _division(classes: Sequence[str], val: tuple[str, ...], test: tuple[str, ...], paper: str) -> Division:
    return Division(_others(classes, val, test), val, test, paper)


DIVISIONS = {
    "cifar-fs": _division(
        CIFAR100,
        _of_last(_FS_VAL),
        _of_last(_FS_TEST),
        "Bertinetto et al. 2019, Meta-learning with differentiable closed-form solvers, "
        "https://arxiv.org/abs/1805.08136",
    ),
    "fc100": _division(
        CIFAR100,
        _of_superclass(_FC_VAL),
        _of_superclass(_FC_TEST),
        "Oreshkin et al. 2018, TADAM: Task dependent adaptive metric for improved few-shot learning, "
        "https://arxiv.org/abs/1805.10123",
    ),
    "ravi": Division(
        _RAVI_TRAIN,
        _RAVI_VAL,
        _RAVI_TEST,
        "Ravi and Larochelle 2017, Optimization as a model for few-shot learning, "
        "https://openreview.net/forum?id=rJY0-Kcll",
    ),
    "meta-dataset": Division(
        _TINY_TRAIN,
        _TINY_VAL,
        _TINY_TEST,
        "Triantafillou et al. 2020, Meta-Dataset, https://arxiv.org/abs/1903.03096",
    ),
}
"""Divisions by their names as protocols. Of each, no class is in two parts; of fc100, no superclass is either."""


def classes_of(division: Division) -> tuple[str, ...]:
    """All classes of a division, in sorted order."""
    return tuple(sorted((*division.train, *division.val, *division.test)))
