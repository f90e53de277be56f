package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"racoon2/policy/spmif"
)

func (a *app) saCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sa",
		Short: "List, delete or rekey security associations",
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,
	}
	cmd.AddCommand(a.saListCommand(), a.saShowCommand(), a.saFlushCommand(), a.saDeleteCommand(), a.saRekeyCommand())
	return cmd
}

func needsSubcommand(cmd *cobra.Command, _ []string) error {
	return fmt.Errorf("%s needs a further word", cmd.CommandPath())
}

func (a *app) saListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the IKE SAs and their children",
		Example: "  racoon2 sa list\n  racoon2 sa list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := a.status(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s.IKESAs)
			}
			var p page
			for i := range s.IKESAs {
				ikeText(&p, &s.IKESAs[i], time.Now())
			}
			return failed(a.print(p.String()))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) saFlushCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "flush [REMOTE]",
		Short: "Delete the SAs of a remote, or all, telling the peers",
		Long: "Delete the IKE SAs of a remote with their children, or all of them. The peers\n" +
			"are told. Policies stay, so traffic that they protect is blocked until it has\n" +
			"negotiated anew, which it starts by itself.",
		Example: "  racoon2 sa flush\n  racoon2 sa flush tokyo",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			remote := ""
			if len(args) > 0 {
				remote = args[0]
			}
			var flushed struct {
				IKE      int `json:"ike_sas"`
				Children int `json:"children"`
			}
			err := a.ask(cmd, func(c *spmif.Client) (err error) {
				flushed.IKE, flushed.Children, err = c.SAFlush(remote)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(flushed)
			}
			return failed(a.print(fmt.Sprintf("deleted %d IKE SAs with %d children\n", flushed.IKE, flushed.Children)))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}
