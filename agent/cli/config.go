package cli

import "github.com/spf13/cobra"

// configCommand is the parent of the commands about configurations, which need no agent.
func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Make, convert, show, format and explain configurations",
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(a.configNewCommand(), a.configConvertCommand(), a.configShowCommand(),
		a.configFmtCommand(), a.configExplainCommand())
	return cmd
}
