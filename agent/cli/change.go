package cli

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"racoon2/policy/spmif"
)

// change describes a command that has the agent do something, which it answers
// with one line.
type change struct {
	use, short, long, example string
	args                      cobra.PositionalArgs
	do                        func(c *spmif.Client, args []string) (said string, err error)
}

// change makes the command.
func (a *app) change(c change) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: c.use, Short: c.short, Long: c.long, Example: c.example, Args: c.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			var said string
			err := a.ask(cmd, func(client *spmif.Client) (err error) {
				said, err = c.do(client, args)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(map[string]string{"done": said})
			}
			return failed(a.print(said + "\n"))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// list makes a command that prints one word a line.
func (a *app) list(c change, words func(c *spmif.Client, args []string) ([]string, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: c.use, Short: c.short, Long: c.long, Example: c.example, Args: c.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			found := []string{}
			err := a.ask(cmd, func(client *spmif.Client) error {
				got, err := words(client, args)
				found = append(found, got...)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(found)
			}
			if len(found) == 0 {
				_, err := fmt.Fprintln(a.err, "none")
				return failed(err)
			}
			var p page
			for _, w := range found {
				p.line(0, w)
			}
			return failed(a.print(p.String()))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) upCommand() *cobra.Command {
	return a.change(change{
		use: "up SELECTOR", short: "Bring up the tunnel or transport of a selector",
		long: "Ask for the child SAs of a selector as if its traffic had come, without waiting\n" +
			"for the pause after a failure. \"racoon2 watch\" shows what becomes of it.",
		example: "  racoon2 up tokyo_out", args: cobra.ExactArgs(1),
		do: func(c *spmif.Client, args []string) (string, error) {
			return args[0] + " is asked for", c.SAInitiate(args[0])
		},
	})
}

func (a *app) downCommand() *cobra.Command {
	return a.change(change{
		use: "down SELECTOR", short: "Take down the child SAs of a selector",
		long: "Delete the child SAs of a selector; the peer is told. The policy stays: traffic\n" +
			"or up brings them up again, and start does so no more until then.",
		example: "  racoon2 down tokyo_out", args: cobra.ExactArgs(1),
		do: func(c *spmif.Client, args []string) (string, error) {
			deleted, err := c.SADown(args[0])
			return fmt.Sprintf("deleted %d children of %s", deleted, args[0]), err
		},
	})
}

func (a *app) saShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show the SAs with a remote, a child, a principal or an SPI",
		Example: "  racoon2 sa show tokyo\n  racoon2 sa show c0000001 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var found saList
			err := a.ask(cmd, func(c *spmif.Client) error {
				raw, err := c.SAShow(args[0])
				if err == nil {
					found, err = readSAs(raw)
				}
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(found.all())
			}
			return failed(a.print(found.text(time.Now())))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// bySPI makes a command about one SA of this host.
func (a *app) bySPI(use, short, example, done string, do func(*spmif.Client, uint64) error) *cobra.Command {
	return a.change(change{
		use: use, short: short, example: example, args: cobra.ExactArgs(1),
		do: func(c *spmif.Client, args []string) (string, error) {
			spi, err := strconv.ParseUint(strings.TrimPrefix(args[0], "0x"), 16, 64)
			if err != nil || spi == 0 {
				return "", misused("%q is no SPI: it is a hexadecimal number, as sa list shows it", args[0])
			}
			return fmt.Sprintf("%s %x", done, spi), do(c, spi)
		},
	})
}

func (a *app) saDeleteCommand() *cobra.Command {
	return a.bySPI("delete SPI", "Delete an IKE SA or a child by its SPI here, telling the peer",
		"  racoon2 sa delete c0000001", "deleted", (*spmif.Client).SADelete)
}

func (a *app) saRekeyCommand() *cobra.Command {
	return a.bySPI("rekey SPI", "Have an IKE SA or a child take new keys, by its SPI here",
		"  racoon2 sa rekey c0000001\n  racoon2 sa rekey 0193d2f04c1a77e5", "rekeyed", (*spmif.Client).SARekey)
}

func (a *app) policyAddCommand() *cobra.Command {
	return a.change(change{
		use: "add SELECTOR SECONDS transport|tunnel SRC DST [SA_SRC SA_DST]", short: "Add policies for a time",
		long: "Add a policy for a selector and one for its reverse, with these addresses in the\n" +
			"place of the selector's own, in its direction. SECONDS is how long they stay, 0\n" +
			"for ever; the same command once more begins a new time.",
		example: "  racoon2 policy add tokyo_out 3600 transport 192.0.2.1 192.0.2.9\n" +
			"  racoon2 policy add net_out 0 tunnel 10.1.0.0/16 10.7.0.7 192.0.2.1 192.0.2.9",
		args: fiveOrSeven,
		do: func(c *spmif.Client, args []string) (string, error) {
			r, err := policyRequest(args[0], args[2:])
			if err != nil {
				return "", err
			}
			seconds, err := strconv.ParseUint(args[1], 10, 31)
			if err != nil {
				return "", misused("%q is no number of seconds", args[1])
			}
			r.Lifetime = time.Duration(seconds) * time.Second
			return c.PolicyAdd(r)
		},
	})
}

func fiveOrSeven(cmd *cobra.Command, args []string) error {
	if len(args) != 5 && len(args) != 7 {
		return fmt.Errorf("%s takes 5 or 7 words, not %d", cmd.CommandPath(), len(args))
	}
	return nil
}

func (a *app) policyDeleteCommand() *cobra.Command {
	return a.change(change{
		use: "delete SELECTOR [SRC DST]", short: "Delete policies that were added",
		long: "Delete the policies that policy add has made for a selector, and their reverses:\n" +
			"those with these addresses, or all. Policies of the configuration stay.",
		example: "  racoon2 policy delete tokyo_out\n  racoon2 policy delete tokyo_out 192.0.2.1 192.0.2.9",
		args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 3 {
				return fmt.Errorf("%s takes 1 or 3 words, not %d", cmd.CommandPath(), len(args))
			}
			return nil
		},
		do: func(c *spmif.Client, args []string) (string, error) {
			r := spmif.PolicyRequest{Selector: args[0]}
			if len(args) == 3 {
				var err error
				if r, err = policyRequest(args[0], []string{"transport", args[1], args[2]}); err != nil {
					return "", err
				}
			}
			return "deleted", c.PolicyDelete(r)
		},
	})
}

// policyRequest reads MODE SRC DST [SA_SRC SA_DST].
func policyRequest(selector string, words []string) (r spmif.PolicyRequest, err error) {
	r.Selector, r.Tunnel = selector, words[0] == "tunnel"
	if !r.Tunnel && words[0] != "transport" {
		return r, misused("%q is neither transport nor tunnel", words[0])
	}
	for i, to := range []*netip.Prefix{&r.Src, &r.Dst} {
		if *to, err = hostOrPrefix(words[i+1]); err != nil {
			return r, err
		}
	}
	if len(words) == 3 {
		return r, nil
	}
	for i, to := range []*netip.Addr{&r.SASrc, &r.SADst} {
		if *to, err = addressOf(words[i+3]); err != nil {
			return r, err
		}
	}
	return r, nil
}

func hostOrPrefix(word string) (netip.Prefix, error) {
	if strings.Contains(word, "/") {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			return p, misused("%q is no IP network", word)
		}
		return p, nil
	}
	addr, err := addressOf(word)
	if err != nil {
		return netip.Prefix{}, err
	}
	return addr.Prefix(addr.BitLen())
}

func addressOf(word string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(word)
	if err != nil {
		return addr, misused("%q is no IP address", word)
	}
	return addr, nil
}
