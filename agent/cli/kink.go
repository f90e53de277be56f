package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"racoon2/agent"
	"racoon2/config"
)

func (a *app) kinkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "kink",
		Short:   "Look into KINK: principals, tickets and peers",
		Example: "  racoon2 kink check\n  racoon2 kink status",
		Args:    cobra.NoArgs,
		RunE:    needsSubcommand,
	}
	cmd.AddCommand(a.kinkStatusCommand(), a.kinkCheckCommand())
	return cmd
}

func (a *app) kinkStatusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the running agent's principals, tickets and KINK peers",
		Long: "Show this host's principals with their keys and tickets, and the peers with\n" +
			"their epochs, clocks and SAs. The exit status is 1 when a principal has no\n" +
			"ticket-granting ticket.",
		Example: "  racoon2 kink status\n  racoon2 kink status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.status(cmd)
			switch {
			case err != nil:
				return err
			case s.KINK == nil:
				return failed(errors.New("no remote of the running agent uses KINK"))
			case asJSON:
				err = a.printJSON(s.KINK)
			default:
				err = failed(a.print(kinkText(s.KINK, time.Now())))
			}
			if err == nil && !hasTGTs(s.KINK, time.Now()) {
				return &failure{status: statusFailed}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func hasTGTs(s *agent.KINKStatus, now time.Time) bool {
	for _, p := range s.Principals {
		if p.TGT == nil || p.TGT.Before(now) {
			return false
		}
	}
	return true
}

// kinkText is KINK's state for people.
func kinkText(s *agent.KINKStatus, now time.Time) string {
	var p page
	p.field("epoch", s.Epoch.Format(time.RFC3339))
	p.field("replays", fmt.Sprintf("%d authenticators remembered", s.Replays))
	p.section("principals", len(s.Principals))
	for i := range s.Principals {
		principalText(&p, &s.Principals[i], now)
	}
	p.section("peers", len(s.Peers))
	for i := range s.Peers {
		peerText(&p, &s.Peers[i], now)
	}
	return p.String()
}

func principalText(p *page, s *agent.KINKPrincipal, now time.Time) {
	p.line(2, s.Principal)
	keys := "no key"
	if len(s.KeyVersions) > 0 {
		keys = fmt.Sprintf("versions %s, %s", strings.Trim(fmt.Sprint(s.KeyVersions), "[]"), strings.Join(s.EncTypes, " "))
	}
	p.line(4, "keytab "+s.Keytab+": "+keys)
	switch {
	case s.TGT == nil:
		p.line(4, "no ticket-granting ticket")
	default:
		p.line(4, "ticket-granting ticket "+endsIn(*s.TGT, now))
	}
	if s.Error != "" {
		p.line(4, "the last try failed: "+s.Error)
	}
	if s.Skew != 0 {
		p.line(4, "the KDC's clock is "+seconds(s.Skew)+" from this host's")
	}
	for _, t := range s.Tickets {
		text := "ticket for " + t.Peer + " " + endsIn(t.Expires, now) + ", " + t.EncType
		if t.UserToUser {
			text += ", user-to-user"
		}
		if t.Refused {
			text += ", refused by the peer"
		}
		p.line(4, text)
	}
}

func endsIn(t, now time.Time) string {
	if t.Before(now) {
		return "ended " + now.Sub(t).Truncate(time.Second).String() + " ago"
	}
	return "ends in " + t.Sub(now).Truncate(time.Second).String()
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

// peerText prints a peer of KINK with its SAs.
func peerText(p *page, s *agent.KINKPeer, now time.Time) {
	p.line(2, strings.Join(nonEmpty(orDash(s.Remote), s.Principal, s.EncType), "  "))
	p.line(4, "address "+orDash(s.Address))
	if s.Epoch != nil {
		p.line(4, "its SAs begin at "+s.Epoch.Format(time.RFC3339))
	}
	if s.Skew != 0 {
		p.line(4, "its clock is "+seconds(s.Skew)+" from this host's")
	}
	if s.Ticket != nil {
		p.line(4, "ticket "+endsIn(*s.Ticket, now))
	}
	for i := range s.Children {
		c := &s.Children[i]
		childText(p, &c.ChildStatus, now)
		for _, t := range c.Bundle {
			p.line(6, strings.Join(nonEmpty("in the bundle", t.Protocol, t.Mode, t.Encr, t.Integ, t.Comp, "in "+t.SPIIn, "out "+t.SPIOut), " "))
		}
		role := "the peer rekeys it"
		if c.Initiator {
			role = "this host rekeys it"
		}
		p.line(6, c.State+", "+role)
	}
}

func (a *app) kinkCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Try the Kerberos set-up of a configuration",
		Long: "Try, without a running agent, what KINK needs of Kerberos: the name and the realm\n" +
			"of each principal of this host, its keys in the keytab, whether a KDC answers and\n" +
			"takes them, the clock, and tickets for the peers. What does not work is said in\n" +
			"one line each. The exit status is 0 when all is well, 1 when something is wrong,\n" +
			"and 2 when the configuration cannot be used.",
		Example: "  racoon2 kink check -c /etc/racoon2/racoon2.conf\n  racoon2 kink check --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			found, findings := agent.CheckKINK(context.Background(), a.config, config.Options{})
			if findings.HasErrors() {
				return asFailure(&agent.ConfigError{Path: a.config, Findings: findings})
			}
			if len(found) == 0 {
				return failed(errors.New("no remote of " + a.config + " uses KINK"))
			}
			if asJSON {
				if err := a.printJSON(found); err != nil {
					return err
				}
			} else if err := a.print(checkText(found)); err != nil {
				return failed(err)
			}
			for i := range found {
				if !found[i].OK() {
					return &failure{status: statusFailed}
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func checkText(found []agent.KINKCheck) string {
	var p page
	for _, c := range found {
		p.line(0, c.Principal)
		for _, f := range c.Findings {
			mark := "ok     "
			if !f.OK {
				mark = "WRONG  "
			}
			p.line(2, mark+f.Text)
		}
	}
	return p.String()
}
