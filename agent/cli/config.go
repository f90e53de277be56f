package cli

import "github.com/spf13/cobra"

// configCommand is the parent of the commands about configurations, which need no agent.
func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Make, convert, show, format and explain configurations",
		Example: "  racoon2 config new --from 192.0.2.1 --to 192.0.2.2 --mode transport --out .\n" +
			"  racoon2 config explain dpd_delay",
		Args: cobra.NoArgs,
		RunE: needsSubcommand,

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(a.configNewCommand(), a.configConvertCommand(), a.configShowCommand(),
		a.configFmtCommand(), a.configExplainCommand())
	return cmd
}
