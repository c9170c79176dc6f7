"""Samples with secrets in, secret events out."""

from __future__ import annotations

from plainwire.decode.btf import Btf
from plainwire.decode.context import Context
from plainwire.decode.secret_check import SecretCheck
from plainwire.decode.secrets import ContradictionError, Secret, SecretReader
from plainwire.events import AnyEvent, SecretEvent


class SecretDecoder:
    """The secrets of one session."""

    def __init__(self, context: Context) -> None:
        self.count = 0
        self._context = context
        self._reader = SecretReader()
        self._check: SecretCheck | None = None

    def verify(self) -> None:
        """Hold each secret back until both ways have given it."""
        self._check = SecretCheck()

    @property
    def confirmed(self) -> int:
        """How many secrets both ways have given."""
        return self._check.confirmed if self._check else 0

    def add_layout(self, btf: Btf) -> None:
        """Raises AbiMismatchError."""
        self._reader.add_layout(btf)

    def read(self, kind: str, sample: bytes) -> list[AnyEvent]:
        """The events of a sample of a kind of secrets. Raises SampleError."""
        context = self._context
        try:
            secrets = self._reader.read(kind, sample)
        except ContradictionError:
            return [context.loss("contradictory_secrets")]
        events: list[AnyEvent] = []
        for secret in secrets:
            if context.wanted(secret.pid, secret.uid, context.texts[secret.comm]):
                try:
                    checked = self._check.add(secret) if self._check else [secret]
                except ContradictionError:
                    events.append(context.loss("contradictory_secrets"))
                else:
                    events += map(self._event, checked)
        return events

    def finish(self) -> list[AnyEvent]:
        """At the end: those that only one way gave."""
        return [self._event(secret) for secret in self._check.rest()] if self._check else []

    def _event(self, secret: Secret) -> SecretEvent:
        context = self._context
        self.count += 1
        context.count_process(secret.pid)
        program = context.processes.at(secret.pid, secret.timestamp_ns)
        module, path = context.libraries.get(secret.library, context.default_library)
        return SecretEvent(
            context.clock.text(secret.timestamp_ns),
            secret.timestamp_ns,
            module,
            secret.pid,
            secret.tid,
            secret.uid,
            context.texts[secret.comm],
            program.exe,
            program.cmdline,
            program.container,
            program.namespace_pid,
            path,
            secret.label,
            secret.client_random.hex(),
            secret.secret.hex(),
            secret.way,
        )
