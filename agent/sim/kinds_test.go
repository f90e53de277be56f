package sim

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel"
)

// situation has a name, and makes a scenario.
type situation struct {
	name string
	make func(r *rand.Rand) Scenario
}

// kinds are the situations that the seeds go through in turn.
var kinds = slices.Concat(settledKinds, mobileKinds)

// settledKinds are those in which everybody stays where he is.
var settledKinds = []situation{
	{"tunnel over IPv4", func(*rand.Rand) Scenario { return pair(terms{}) }},
	{"tunnel over IPv6", func(*rand.Rand) Scenario { return pair(terms{V6: true}) }},
	{"transport over IPv4", func(*rand.Rand) Scenario { return pair(terms{Transport: true}) }},
	{"transport over IPv6", func(*rand.Rand) Scenario { return pair(terms{V6: true, Transport: true}) }},
	{"NAT between", func(*rand.Rand) Scenario { return pair(terms{NAT: true}) }},
	{"NAT that forgets", func(r *rand.Rand) Scenario {
		s := pair(terms{NAT: true, IKE: "dpd_delay 20 sec; interval_to_send 1 sec; max_retry_to_send 5;"})
		s.Steps = sometimes(r, 3, func(w *World, _ *Host) { w.RebootNATs() })
		return s
	}},
	{"both begin at once", func(*rand.Rand) Scenario {
		s := pair(terms{})
		s.Steps = []Step{{At: 900 * time.Millisecond, Name: "both up", Do: func(w *World) {
			w.Host("tokyo").Up("osaka_out")
			w.Host("osaka").Up("tokyo_out")
		}}}
		return s
	}},
	{"one side only begins", func(*rand.Rand) Scenario {
		s := pair(terms{IKE: "cookie_required on;"})
		s.Flows = s.Flows[:1]
		return s
	}},
	{"flushed and coming back", func(r *rand.Rand) Scenario {
		s := pair(terms{})
		s.Steps = sometimes(r, 3, func(_ *World, h *Host) { h.Flush("") })
		return s
	}},
	{"three hosts", func(*rand.Rand) Scenario { return triangle() }},
	{"three hosts, flushed", func(r *rand.Rand) Scenario {
		s := triangle()
		s.Steps = sometimes(r, 5, func(_ *World, h *Host) { h.Flush("") })
		return s
	}},
	{"reboot", func(r *rand.Rand) Scenario {
		s := pair(terms{IKE: "dpd_delay 20 sec; interval_to_send 1 sec; max_retry_to_send 5;"})
		name, at := oneOf(r, "tokyo", "osaka"), moment(r)/2
		s.Steps = []Step{
			{At: at, Name: "reboot " + name, Do: func(w *World) { w.Host(name).Crash(true) }},
			{At: at + 10*time.Second, Name: "restart " + name, Do: func(w *World) { w.Host(name).Restart() }},
		}
		return s
	}},
	{"rekeying", func(*rand.Rand) Scenario {
		return pair(terms{IKE: "need_pfs on; kmp_sa_lifetime_time 45 sec;", ESP: "ipsec_sa_lifetime_time 30 sec;"})
	}},
	{"rekeying behind a NAT", func(*rand.Rand) Scenario {
		return pair(terms{NAT: true, IKE: "kmp_sa_lifetime_time 45 sec;", ESP: "ipsec_sa_lifetime_time 30 sec;"})
	}},
	{"rekeying after some traffic", func(*rand.Rand) Scenario {
		return pair(terms{ESP: "ipsec_sa_lifetime_byte 4000 B;"})
	}},
	{"groups that differ", func(*rand.Rand) Scenario {
		s := pair(terms{})
		s.Hosts[0].Config = replaced(s.Hosts[0].Config, "{ curve25519; }", "{ ecp256; curve25519; }", "need_pfs on;")
		s.Hosts[1].Config = replaced(s.Hosts[1].Config, "", "", "need_pfs on;")
		return s
	}},
	{"meddlers in the kernel", func(r *rand.Rand) Scenario {
		s := pair(terms{})
		s.Steps = sometimes(r, 3, meddle)
		return s
	}},
	{"events that are lost", func(r *rand.Rand) Scenario {
		s := pair(terms{})
		s.Steps = sometimes(r, 3, func(w *World, h *Host) {
			h.kernel.LoseEvents(1 + w.rand.IntN(3))
			_ = h.Foreign(kernel.FlushSA{})
		})
		return s
	}},
	{"failing kernels", func(r *rand.Rand) Scenario {
		s := pair(terms{})
		s.Steps = sometimes(r, 4, failOnce)
		return s
	}},
	{"policies removed by others", func(r *rand.Rand) Scenario {
		s := pair(terms{})
		s.Steps = sometimes(r, 3, func(w *World, h *Host) {
			// Until the policy is back the host cannot be held to it.
			h.protecting = false
			if policies := h.dumpPolicies(); len(policies) > 0 {
				p := policies[w.rand.IntN(len(policies))]
				_ = h.Foreign(kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction})
			}
		})
		return s
	}},
	{"discarded traffic beside", func(*rand.Rand) Scenario {
		s := pair(terms{})
		withDiscard(&s)
		return s
	}},
	{"configurations changed", func(r *rand.Rand) Scenario {
		s := pair(terms{})
		s.Steps = sometimes(r, 3, func(w *World, h *Host) {
			text := h.spec.Config
			if w.rand.IntN(2) == 0 {
				text = replaced(text, "kmp_sa_nego_time_limit 60 sec;", "kmp_sa_nego_time_limit 50 sec;", "")
			}
			if err := h.Reconfigure(text); err != nil {
				w.violate(h.Name, PolicyAgrees, "the configuration is refused: %v", err)
			}
		})
		return s
	}},
	{"orderly restarts", func(r *rand.Rand) Scenario {
		s := pair(terms{})
		name, at := oneOf(r, "tokyo", "osaka"), moment(r)
		s.Steps = []Step{
			{At: at, Name: "stop " + name, Do: func(w *World) { w.Host(name).Stop() }},
			{At: at + 5*time.Second, Name: "restart " + name, Do: func(w *World) { w.Host(name).Restart() }},
		}
		return s
	}},
}

// moment is some time in the disturbed part, after the tunnel may be up.
func moment(r *rand.Rand) time.Duration {
	return 5*time.Second + time.Duration(r.Int64N(int64(50*time.Second)))
}

func oneOf(r *rand.Rand, names ...string) string { return names[r.IntN(len(names))] }

// sometimes does something n times, each at some moment to some host.
func sometimes(r *rand.Rand, n int, do func(w *World, h *Host)) []Step {
	var steps []Step
	for range n {
		which := r.IntN(1000)
		steps = append(steps, Step{At: moment(r), Name: "disturbance", Do: func(w *World) {
			h := w.hosts[which%len(w.hosts)]
			w.note(line{host: h.Name, text: "is disturbed"})
			do(w, h)
		}})
	}
	return steps
}

// withDiscard gives tokyo a policy that discards what goes to one address.
func withDiscard(s *Scenario) {
	s.Hosts[0].Config += `
selector no_out { order 1; direction outbound; src 10.0.1.0/24; dst 10.0.3.9/32; policy_index nothing; };
policy nothing { action discard; };
`
	s.Hosts[1].Nets = append(s.Hosts[1].Nets, netip.MustParsePrefix("10.0.3.0/24"))
	s.Flows = append(s.Flows, Flow{
		From: netip.MustParseAddr("10.0.1.1"), To: netip.MustParseAddr("10.0.3.9"), Start: time.Second, Interval: time.Second, Must: Blocked,
	})
}

// meddle deletes an SA of a host, or all of them, behind its agent's back.
func meddle(w *World, h *Host) {
	if sas := h.dumpSAs(); len(sas) > 0 && w.rand.IntN(2) == 0 {
		_ = h.Foreign(kernel.DeleteSA{ID: sas[w.rand.IntN(len(sas))].SAID})
		return
	}
	_ = h.Foreign(kernel.FlushSA{})
}

// failOnce has a host begin anew with a kernel that refuses something.
func failOnce(w *World, h *Host) {
	op := []kernel.Op{kernel.AddSA{}, kernel.GetSPI{}}[w.rand.IntN(2)]
	h.kernel.Fail(op, errors.New("out of memory"))
	h.Flush("")
}
