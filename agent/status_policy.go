package agent

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"racoon2/kernel"
	"racoon2/resolver"
)

// StaticSAStatus describes one SA of static_ipsec.
type StaticSAStatus struct {
	Selector  string   `json:"selector"`
	Protocol  string   `json:"protocol"`
	Mode      string   `json:"mode"`
	Direction string   `json:"direction"`
	SPI       string   `json:"spi"` // 8 hexadecimal digits
	Src       string   `json:"src"`
	Dst       string   `json:"dst"`
	ReqID     uint32   `json:"reqid"`
	State     string   `json:"state"`
	Traffic   *Traffic `json:"traffic,omitempty"` // absent when the kernel did not say
}

// AttemptStatus describes one child that is being asked for, or rests after a
// failure.
type AttemptStatus struct {
	Child    string     `json:"child"` // outbound selector
	Remote   string     `json:"remote"`
	Engine   string     `json:"engine,omitempty"` // that is asked; absent while it rests
	Failures int        `json:"failures"`         // rounds through all engines that came to nothing
	Why      string     `json:"why,omitempty"`    // the last engine's word
	Next     *time.Time `json:"next,omitempty"`   // of the next try; absent when traffic decides
}

// NameStatus describes one host name that is followed.
type NameStatus struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	Left      []netip.Addr `json:"left,omitempty"` // addresses that are in their grace
	Stands    bool         `json:"stands"`         // the policies stand for the addresses
	Files     bool         `json:"files"`          // the hosts file says so
	Expires   *time.Time   `json:"expires,omitempty"`
}

// staticStatus lists the SAs of static_ipsec.
func (a *Agent) staticStatus(ctx context.Context) ([]StaticSAStatus, error) {
	list, err := ask(ctx, a.policy, a.manager.ManualSAs)
	if err != nil {
		return nil, err
	}
	var out []StaticSAStatus
	for _, m := range list {
		s := StaticSAStatus{
			Selector: m.Selector, Protocol: m.ID.Proto.String(), Mode: m.Mode.String(), Direction: m.Direction.String(),
			SPI: fmt.Sprintf("%08x", uint32(m.ID.SPI)), Src: m.Src.String(), Dst: m.ID.Dst.String(), ReqID: m.ReqID, State: m.State,
		}
		if r, err := a.pump.ask(ctx, kernel.GetSA{ID: m.ID}); err == nil && len(r.SAs) == 1 {
			s.Traffic = trafficOf(&r.SAs[0])
		}
		out = append(out, s)
	}
	return out, nil
}

// attemptStatus lists what is under way.
func (a *Agent) attemptStatus(ctx context.Context) ([]AttemptStatus, error) {
	list, err := ask(ctx, a.policy, a.manager.Attempts)
	if err != nil {
		return nil, err
	}
	var out []AttemptStatus
	for _, at := range list {
		s := AttemptStatus{Child: at.Child, Remote: at.Remote, Failures: at.Failures, Why: at.Why, Next: timeOrNil(at.Next)}
		if at.Engine != kernel.NoEngine {
			s.Engine = at.Engine.String()
		}
		out = append(out, s)
	}
	return out, nil
}

// nameStatus lists the names that are followed.
func (a *Agent) nameStatus() []NameStatus {
	var out []NameStatus
	if a.names == nil {
		return nil
	}
	_ = a.names.proxy.Look(func(r *resolver.Resolver, _ time.Time) {
		for _, n := range r.List() {
			out = append(out, NameStatus{
				Name: strings.TrimSuffix(n.Name, "."), Addresses: append([]netip.Addr{}, n.Addresses...), Left: n.Left,
				Stands: n.Stands, Files: n.FromFiles, Expires: timeOrNil(n.Expires),
			})
		}
	})
	return out
}
