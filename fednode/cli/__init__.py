"""The `fednode` command. Each command is a module of its own, imported only when it is called."""

from importlib import import_module

import click

from fednode.cli.edge import Failing

COMMANDS = {
    "account": ("account:account", "Make a keystore for a node to sign with."),
    "audit": ("audit:audit", "Replay a federation's whole history."),
    "challenge": ("challenge:challenge", "Challenge results that are wrong."),
    "claim": ("claim:claim", "Take out what is due to an account."),
    "close": ("end:close", "End a federation that has been idle too long."),
    "create": ("create:create", "Create a federation from a policy file."),
    "data": ("data:data", "See whether a site's file fits a policy."),
    "demo": ("demo:demo", "Four hospitals train one model, and it is audited."),
    "deploy": ("deploy:deploy", "Deploy the contract, once for everybody on a chain."),
    "forget": ("forget:forget", "Erase rows and updates of one's own, and declare it."),
    "holder": ("holder:holder", "Open the slices of evaluation rows, round by round."),
    "invite": ("invite:invite", "Attest who may join, as a federation's creator."),
    "join": ("join:join", "Join a federation with a site's rows."),
    "key": ("key:key", "Make a key that sealed artefacts are read with."),
    "leave": ("end:leave", "Give up a seat."),
    "model": ("model:model", "Export a model version."),
    "participant": ("node:participant", "Run a participant: train, publish, recompute, vote."),
    "proposer": ("node:proposer", "Run a proposer: aggregate, value, propose."),
    "relay": ("relay:relay", "Run a relay: take signed commits and votes, post them."),
    "status": ("status:status", "Print where a federation stands."),
    "testnet": ("testnet:testnet", "Run a private chain, and Kubo nodes, on this machine."),
}


class Lazy(Failing, click.Group):
    """A group that imports a command when it is asked for: torch and web3 cost seconds each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"{__name__}.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fednode")
def main() -> None:
    """Federated learning in which nobody has to be trusted.

    Exit codes: 0 done (of an audit: everything holds), 1 an error, which one line names, 2 wrong
    usage, 3 an audit found a step that does not hold, 4 an audit could not check everything.
    """
