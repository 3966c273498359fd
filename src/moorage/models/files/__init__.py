"""Reading the files of a model, whatever their format."""

from moorage.models.files.model import facts as facts
