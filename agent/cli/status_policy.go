package cli

import (
	"fmt"
	"strings"
	"time"

	"racoon2/agent"
)

// policyText prints what the policy manager and the resolver are at; what there
// is none of is left out.
func policyText(p *page, s *agent.Status, now time.Time) {
	if len(s.Static) > 0 {
		p.section("static SAs", len(s.Static))
	}
	for _, sa := range s.Static {
		p.line(2, fmt.Sprintf("%s %s %s spi %s, %s - %s, selector %s", sa.Direction, sa.Protocol, sa.Mode, sa.SPI, sa.Src, sa.Dst, orDash(sa.Selector)))
		if sa.State != "installed" {
			p.line(6, sa.State)
		}
		if sa.Traffic != nil {
			p.line(6, traffic(sa.Traffic))
		}
	}
	if len(s.Attempts) > 0 {
		p.section("attempts", len(s.Attempts))
	}
	for _, at := range s.Attempts {
		text := "rests until traffic asks for it"
		switch {
		case at.Engine != "":
			text = at.Engine + " is asked"
		case at.Next != nil:
			text = "next try in " + at.Next.Sub(now).Truncate(time.Second).String()
		}
		if at.Why != "" {
			text += "; before: " + at.Why
		}
		p.line(2, fmt.Sprintf("child %s to %s, %d failures: %s", at.Child, orDash(at.Remote), at.Failures, text))
	}
	if len(s.Names) > 0 {
		p.section("names", len(s.Names))
	}
	for _, n := range s.Names {
		p.line(2, n.Name+nameText(n, now))
	}
}

func nameText(n agent.NameStatus, now time.Time) string {
	var words []string
	for _, a := range n.Addresses {
		words = append(words, a.String())
	}
	for _, a := range n.Left {
		words = append(words, a.String()+" (left)")
	}
	if len(words) == 0 {
		words = append(words, "no address")
	}
	text := " " + strings.Join(words, " ")
	switch {
	case n.Files:
		text += ", from the hosts file"
	case n.Expires != nil:
		text += ", for " + n.Expires.Sub(now).Truncate(time.Second).String()
	}
	if !n.Stands {
		text += ", the policies do not stand yet"
	}
	return text
}
