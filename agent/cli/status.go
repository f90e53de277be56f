package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"racoon2/agent"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show the state of the running agent",
		Long:    "Show the running agent: its kernel backend and sockets, IKE SAs with their\nchildren, the peers of KINK, policies, and what it has counted.",
		Example: "  racoon2 status\n  racoon2 status --json --socket /run/racoon2/spmif",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				raw, err := a.rawStatus(cmd)
				if err != nil {
					return err
				}
				return a.printJSON(raw)
			}
			s, err := a.status(cmd)
			if err != nil {
				return err
			}
			return failed(a.print(statusText(s, time.Now())))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// statusText is the state for people.
func statusText(s *agent.Status, now time.Time) string {
	var p page
	p.field("racoon2", fmt.Sprintf("%s, up %v, %s", s.Version, time.Duration(s.Uptime)*time.Second, s.Config))
	p.field("kernel", fmt.Sprintf("%s (%s)", s.Kernel.Name, s.Kernel.Why))
	for i, k := range s.Sockets {
		text := k.Address.String()
		if k.NAT {
			text += " (NAT traversal)"
		}
		if k.KINK {
			text += " (KINK)"
		}
		p.field(onlyFirst(i, "sockets"), text)
	}
	for i, w := range s.Warnings {
		p.field(onlyFirst(i, "warnings"), w)
	}
	p.section("IKE SAs", len(s.IKESAs))
	for i := range s.IKESAs {
		ikeText(&p, &s.IKESAs[i], now)
	}
	if s.KINK != nil {
		p.section("KINK peers", len(s.KINK.Peers))
		for i := range s.KINK.Peers {
			peerText(&p, &s.KINK.Peers[i], now)
		}
		for i := range s.KINK.Principals {
			if k := &s.KINK.Principals[i]; k.Error != "" {
				p.line(2, k.Principal+": "+k.Error)
			}
		}
	}
	p.section("policies", len(s.Policies))
	for _, e := range s.Policies {
		p.line(2, fmt.Sprintf("%s %s %s: %s", e.Direction, e.Action, e.Selector, e.Traffic))
		if e.State != "installed" {
			p.line(6, e.State)
		}
	}
	policyText(&p, s, now)
	raised := slices.DeleteFunc(slices.Sorted(maps.Keys(s.Counters)), func(reason string) bool { return s.Counters[reason] == 0 })
	p.section("counters", len(raised))
	for _, reason := range raised {
		p.line(2, fmt.Sprintf("%-40s %d", reason, s.Counters[reason]))
	}
	return p.String()
}

func onlyFirst(i int, text string) string {
	if i == 0 {
		return text
	}
	return ""
}

// ikeText prints an IKE SA with its children.
func ikeText(p *page, s *agent.IKEStatus, now time.Time) {
	role := "responder"
	if s.Initiator {
		role = "initiator"
	}
	p.line(2, strings.Join([]string{orDash(s.Remote), s.State, role}, "  "))
	p.pair(4, "address", s.Local, s.Peer)
	if s.LocalID != "" || s.RemoteID != "" {
		p.pair(4, "id", orDash(s.LocalID), orDash(s.RemoteID))
	}
	p.pair(4, "spi", s.SPIi, s.SPIr)
	if s.Encr != "" {
		p.line(4, "algorithms "+strings.Join(nonEmpty(s.Encr, s.PRF, s.Integ, s.KE), " "))
	}
	if nat := natText(s); nat != "" {
		p.line(4, nat)
	}
	if t := life(s.Established, s.Expires, now); t != "" {
		p.line(4, t)
	}
	for i := range s.Children {
		childText(p, &s.Children[i], now)
	}
}

func natText(s *agent.IKEStatus) string {
	switch {
	case s.NATLocal && s.NATRemote:
		return "both ends are behind a NAT"
	case s.NATLocal:
		return "this host is behind a NAT"
	case s.NATRemote:
		return "the peer is behind a NAT"
	}
	return ""
}

func childText(p *page, c *agent.ChildStatus, now time.Time) {
	encap := ""
	if c.Encap {
		encap = " in UDP"
	}
	p.line(4, fmt.Sprintf("child %s  %s %s%s", c.Name, c.Protocol, c.Mode, encap))
	p.pair(6, "traffic", strings.Join(c.TSLocal, " "), strings.Join(c.TSRemote, " "))
	p.pair(6, "address", c.Local, c.Remote)
	p.pair(6, "spi", "in "+c.SPIIn, "out "+c.SPIOut)
	esn := ""
	if c.ESN {
		esn = "ESN"
	}
	p.line(6, "algorithms "+strings.Join(nonEmpty(c.Encr, c.Integ, c.KE, esn), " "))
	if c.Comp != "" {
		p.line(6, fmt.Sprintf("compressed by %s, cpi in %s out %s", c.Comp, c.CPIIn, c.CPIOut))
	}
	if c.In != nil {
		p.line(6, "received "+traffic(c.In))
	}
	if c.Out != nil {
		p.line(6, "sent     "+traffic(c.Out))
	}
	if t := life(c.Established, c.Expires, now); t != "" {
		p.line(6, t)
	}
}

func traffic(t *agent.Traffic) string {
	text := fmt.Sprintf("%d packets, %d octets", t.Packets, t.Bytes)
	if t.ReplayErr > 0 {
		text += fmt.Sprintf(", %d replayed", t.ReplayErr)
	}
	if t.AuthErr > 0 {
		text += fmt.Sprintf(", %d forged", t.AuthErr)
	}
	return text
}

// life says since when and until when something stands.
func life(since, until *time.Time, now time.Time) string {
	if since == nil {
		return ""
	}
	text := "since " + now.Sub(*since).Truncate(time.Second).String()
	if until != nil {
		text += ", ends in " + until.Sub(now).Truncate(time.Second).String()
	}
	return text
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func nonEmpty(in ...string) []string {
	return slices.DeleteFunc(in, func(s string) bool { return s == "" })
}
