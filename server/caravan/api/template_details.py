"""What clients are told of a model's chat template."""

from dataclasses import asdict

from caravan_schemas.models import TemplateDetails

from caravan.models.loaded_model import LoadedModel


def template_details(model: LoadedModel) -> TemplateDetails:
    """What the templates of a loaded model support, and how conversations are adapted to them."""
    told = model.template_summary
    return TemplateDetails.model_validate(asdict(told) | {"adaptations": list(told.adaptations)})
