"""From a model version on the chain to a file that other programs can use."""

from fednode.evaluation.evaluator import preprocessing_of
from fednode.federation import Federation
from fednode.models.export import ModelExport
from fednode.models.layout import STATISTICS, Tensors
from fednode.training.task import first_private


def export_version(
    federation: Federation, version: int, private: Tensors | None = None
) -> ModelExport:
    """Give a model version with its preprocessing; `private` adds a participant's own tensors."""
    book = federation.rulebook
    payload = book.layout.unpack(federation.version(version))
    own = first_private(book.task) if private is None else private
    return ModelExport(
        model=book.policy.model_spec,
        tensors=tuple(spec for spec in book.layout.tensors if spec.name != STATISTICS),
        values={**payload, **own},
        preprocessing=preprocessing_of(book.layout, payload, book.policy.schema).record(),
        provenance={
            "federation": federation.id.hex(),
            "chain_id": federation.chain.chain_id,
            "ledger": federation.contract.address,
            "version": version,
        },
    )
