package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"racoon2/policy/spmif"
)

func (a *app) fqdnCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "fqdn", Short: "Show or change the host names that the resolver watches",
		Example: "  racoon2 fqdn list\n  racoon2 fqdn query www.example.com",
		Args:    cobra.NoArgs, RunE: needsSubcommand,
	}
	named := func(done string, do func(*spmif.Client, string) error) func(*spmif.Client, []string) (string, error) {
		return func(c *spmif.Client, args []string) (string, error) { return done + " " + args[0], do(c, args[0]) }
	}
	cmd.AddCommand(
		a.list(change{
			use: "list", short: "List the names that are watched", args: cobra.NoArgs,
			example: "  racoon2 fqdn list\n  racoon2 fqdn list --json",
		}, func(c *spmif.Client, _ []string) ([]string, error) { return c.FQDNList() }),
		a.list(change{
			use: "query ADDRESS", short: "List the names of an address", args: cobra.ExactArgs(1),
			example: "  racoon2 fqdn query 192.0.2.9",
		}, func(c *spmif.Client, args []string) ([]string, error) {
			addr, err := addressOf(args[0])
			if err != nil {
				return nil, err
			}
			return c.FQDNQuery(addr)
		}),
		a.change(change{
			use: "add NAME", short: "Watch a name beyond those of the configuration", args: cobra.ExactArgs(1),
			example: "  racoon2 fqdn add mail.example.com", do: named("watching", (*spmif.Client).FQDNAdd),
		}),
		a.change(change{
			use: "delete NAME", short: "End the watch of a name that was added", args: cobra.ExactArgs(1),
			example: "  racoon2 fqdn delete mail.example.com", do: named("watching no more", (*spmif.Client).FQDNDelete),
		}))
	return cmd
}

func (a *app) nsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ns", Short: "Show or change the name servers that the resolver asks",
		Long: "Show or change the name servers that the resolver asks. Changes last until the\n" +
			"configuration names other servers, or the agent ends.",
		Example: "  racoon2 ns list\n  racoon2 ns add 192.0.2.53",
		Args:    cobra.NoArgs, RunE: needsSubcommand,
	}
	one := func(use, short, done string, do func(*spmif.Client, netip.Addr) error) *cobra.Command {
		return a.change(change{
			use: use + " ADDRESS", short: short, args: cobra.ExactArgs(1), example: "  racoon2 ns " + use + " 192.0.2.53",
			do: func(c *spmif.Client, args []string) (string, error) {
				addr, err := addressOf(args[0])
				if err != nil {
					return "", err
				}
				return done + " " + addr.String(), do(c, addr)
			},
		})
	}
	cmd.AddCommand(
		a.list(change{
			use: "list", short: "List the name servers, the one that is asked first at the head", args: cobra.NoArgs,
			example: "  racoon2 ns list\n  racoon2 ns list --json",
		}, func(c *spmif.Client, _ []string) ([]string, error) { return c.NSList() }),
		one("add", "Add a name server behind the others", "added", (*spmif.Client).NSAdd),
		one("delete", "Remove a name server, though not the last", "removed", (*spmif.Client).NSDelete),
		one("change", "Ask this name server first from now on", "asking first", (*spmif.Client).NSChange))
	return cmd
}

func (a *app) watchCommand() *cobra.Command {
	var asJSON bool
	var count int
	cmd := &cobra.Command{
		Use: "watch", Short: "Show what happens in the running agent, as it happens",
		Example: "  racoon2 watch\n  racoon2 watch --json --count 10",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n := 0
			var failure error
			enc := json.NewEncoder(jsonOut{a.out})
			err := a.talk(cmd, 0, func(c *spmif.Client) error {
				return c.Watch(func(e spmif.Event) bool {
					if asJSON {
						failure = enc.Encode(e)
					} else {
						failure = a.print(eventText(e))
					}
					n++
					return failure == nil && (count == 0 || n < count)
				})
			})
			return errors.Join(err, failed(failure))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each event, one a line")
	cmd.Flags().IntVar(&count, "count", 0, "end after `N` events; 0 is never")
	return cmd
}

// eventText is an event on one line.
func eventText(e spmif.Event) string {
	return clean(fmt.Sprintf("%s %s %s: %s", e.Time.Local().Format("15:04:05.000"), e.Area, e.Tag, e.Text)) + "\n"
}
