package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"racoon2/agent"
	"racoon2/policy/spmif"
)

func (a *app) saCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sa",
		Short:   "List, delete or rekey security associations",
		Example: "  racoon2 sa list\n  racoon2 sa flush tokyo",
		Args:    cobra.NoArgs,
		RunE:    needsSubcommand,
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
		Short:   "List the IKE SAs with their children, and the pairs of KINK",
		Example: "  racoon2 sa list\n  racoon2 sa list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.status(cmd)
			if err != nil {
				return err
			}
			list := saList{ike: s.IKESAs}
			if s.KINK != nil {
				list.kink = s.KINK.Peers
			}
			if asJSON {
				return a.printJSON(list.all())
			}
			if len(list.all()) == 0 {
				_, err := fmt.Fprintln(a.err, "no SAs")
				return failed(err)
			}
			return failed(a.print(list.text(time.Now())))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// saList are SAs of both protocols.
type saList struct {
	ike  []agent.IKEStatus
	kink []agent.KINKPeer // with pairs
}

// all are the elements of a JSON array: KINK's peers have "principal", IKE SAs "spi_i".
func (l saList) all() []any {
	out := make([]any, 0, len(l.ike)+len(l.kink))
	for _, s := range l.ike {
		out = append(out, s)
	}
	for _, p := range l.kink {
		if len(p.Children) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// readSAs takes such an array apart.
func readSAs(raw json.RawMessage) (l saList, err error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return l, err
	}
	for _, one := range list {
		var peer agent.KINKPeer
		if err := json.Unmarshal(one, &peer); err != nil {
			return l, err
		}
		if peer.Principal != "" {
			l.kink = append(l.kink, peer)
			continue
		}
		var ike agent.IKEStatus
		if err := json.Unmarshal(one, &ike); err != nil {
			return l, err
		}
		l.ike = append(l.ike, ike)
	}
	return l, nil
}

func (l saList) text(now time.Time) string {
	var p page
	for i := range l.ike {
		ikeText(&p, &l.ike[i], now)
	}
	for i := range l.kink {
		if len(l.kink[i].Children) > 0 {
			peerText(&p, &l.kink[i], now)
		}
	}
	return p.String()
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
			return failed(a.print(fmt.Sprintf("deleted %d IKE SAs and %d children\n", flushed.IKE, flushed.Children)))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}
