package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "policy",
		Short:   "Show or change the policies of the running agent",
		Example: "  racoon2 policy list\n  racoon2 policy delete tokyo_out",
		Args:    cobra.NoArgs,
		RunE:    needsSubcommand,
	}
	cmd.AddCommand(a.policyDumpCommand(), a.policyAddCommand(), a.policyDeleteCommand())
	return cmd
}

func (a *app) policyDumpCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"dump"},
		Short:   "List the policies with their selectors and kernel numbers",
		Example: "  racoon2 policy list\n  racoon2 policy list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.status(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s.Policies)
			}
			var p page
			for _, e := range s.Policies {
				p.line(0, e.Traffic)
				p.line(4, fmt.Sprintf("%s %s  priority %d  %s", e.Direction, e.Action, e.Priority, e.State))
				p.line(4, fmt.Sprintf("selector=%s spid=%d", e.Selector, e.ID))
			}
			return failed(a.print(p.String()))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}
