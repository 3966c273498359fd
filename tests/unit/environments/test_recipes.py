from typing import get_args

from moorage.environments.recipes import RECIPES, Variant
from moorage.environments.versions import named


def test_every_variant_is_installed_or_refused_with_what_to_do() -> None:
    for engine, recipe in RECIPES.items():
        for variant in get_args(Variant):
            assert (variant in recipe.variants) != (variant in recipe.refused), (engine, variant)
            assert variant in recipe.variants or len(recipe.refused[variant]) > 60
        assert bool(recipe.variants) == bool(recipe.package and recipe.version), engine
        assert named(engine) == (engine, None)
        assert recipe.programs


def test_every_version_is_pinned_and_every_patch_explained() -> None:
    for recipe in RECIPES.values():
        for contents in recipe.variants.values():
            assert "{version}" in contents.requirements[0]
            unpinned = [requirement for requirement in contents.requirements if "==" not in requirement]
            assert set(unpinned) <= {"requests"}  # which transformers serve imports and does not ask for
            assert all(patch.what and len(patch.why) > 40 for patch in contents.patches)
