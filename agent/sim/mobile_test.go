package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// quick finds a dead peer in less than a minute: 20 seconds of silence, and questions
// after 1, 2, 4 and three times 8 seconds more.
const quick = "dpd_delay 20 sec; interval_to_send 1 sec; max_retry_to_send 5;"

// mobileKinds are the situations in which addresses change.
var mobileKinds = []situation{
	{"addresses that change, with MOBIKE", func(r *rand.Rand) Scenario {
		s := pair(terms{Roaming: true, V6: r.IntN(2) == 0, IKE: quick + "mobike on;"})
		s.Steps = moves(r, 4)
		return s
	}},
	{"addresses that change, without MOBIKE", func(r *rand.Rand) Scenario {
		s := pair(terms{Roaming: true, V6: r.IntN(2) == 0, IKE: quick})
		s.Steps = moves(r, 4)
		return s
	}},
	{"MOBIKE at one end only", func(r *rand.Rand) Scenario {
		s := pair(terms{Roaming: true, IKE: quick})
		i := r.IntN(2)
		s.Hosts[i].Config = replaced(s.Hosts[i].Config, "", "", "mobike on;")
		s.Steps = moves(r, 3)
		return s
	}},
	{"a responder that changes its address", func(r *rand.Rand) Scenario {
		s := pair(terms{Roaming: true, IKE: quick + "mobike on;"})
		s.Hosts[1].Addrs = append(s.Hosts[1].Addrs, netip.MustParseAddr("192.0.2.12"))
		s.Hosts[1].Config = replaced(s.Hosts[1].Config, "\tmy_sa_ipaddr 192.0.2.2;\n", "", "")
		for range 3 {
			at := moment(r)
			s.Steps = append(s.Steps,
				readdress(at, "osaka", "192.0.2.12"),
				readdress(at+5*time.Second, "osaka", "192.0.2.12", "192.0.2.2"))
		}
		s.Steps = append(s.Steps, readdress(time.Minute, "osaka", "192.0.2.2", "192.0.2.12"))
		return s
	}},
	{"paths that die", func(r *rand.Rand) Scenario {
		s := pair(terms{Roaming: true, IKE: quick + "mobike on;"})
		s.Hosts[0].Addrs = append(s.Hosts[0].Addrs, netip.MustParseAddr("192.0.2.11"))
		for _, a := range []string{"192.0.2.1", "192.0.2.11", "192.0.2.1"} {
			at, addr := moment(r), netip.MustParseAddr(a)
			s.Steps = append(s.Steps,
				Step{At: at, Name: "cut " + a, Do: func(w *World) { w.Cut(addr) }},
				Step{At: at + 30*time.Second, Name: "mend " + a, Do: func(w *World) { w.Mend(addr) }})
		}
		return s
	}},
	{"NAT with other addresses", func(r *rand.Rand) Scenario {
		s := pair(terms{NAT: true, Roaming: true, IKE: quick})
		s.Steps = rebindings(r, 3)
		return s
	}},
	{"NAT with other addresses, and MOBIKE", func(r *rand.Rand) Scenario {
		s := pair(terms{NAT: true, Roaming: true, IKE: quick + "mobike on;"})
		s.Steps = append(rebindings(r, 2), readdress(moment(r), "tokyo", "192.168.1.77"))
		return s
	}},
	{"windows of four", func(r *rand.Rand) Scenario {
		s := pair(terms{IKE: "window_size 4; need_pfs on; kmp_sa_lifetime_time 45 sec;", ESP: "ipsec_sa_lifetime_time 30 sec;"})
		s.Steps = sometimes(r, 2, func(_ *World, h *Host) { h.Flush("") })
		return s
	}},
	{"all at once", func(r *rand.Rand) Scenario {
		ike := quick + "kmp_sa_lifetime_time 45 sec;"
		if r.IntN(2) == 0 {
			ike += "mobike on;"
		}
		if r.IntN(2) == 0 {
			ike += "window_size 4;"
		}
		nat := r.IntN(2) == 0
		s := pair(terms{NAT: nat, Roaming: true, IKE: ike, ESP: "ipsec_sa_lifetime_time 30 sec;"})
		if nat {
			s.Steps = rebindings(r, 2)
		} else {
			s.Steps = moves(r, 2)
		}
		name, at := oneOf(r, "tokyo", "osaka"), moment(r)
		reboot := r.IntN(2) == 0
		s.Steps = append(s.Steps,
			Step{At: at, Name: "crash " + name, Do: func(w *World) { w.Host(name).Crash(reboot) }},
			Step{At: at + 5*time.Second, Name: "restart " + name, Do: func(w *World) { w.Host(name).Restart() }})
		return s
	}},
}

// readdress is a step that gives a host other addresses.
func readdress(at time.Duration, host string, addrs ...string) Step {
	var list []netip.Addr
	for _, a := range addrs {
		list = append(list, netip.MustParseAddr(a))
	}
	return Step{At: at, Name: fmt.Sprint("addresses ", host, addrs), Do: func(w *World) { w.Host(host).Readdress(list...) }}
}

// moves has tokyo move n times, sometimes with a while off the network.
func moves(r *rand.Rand, n int) []Step {
	var steps []Step
	for i := range n {
		at, off := moment(r), r.IntN(3) == 0
		steps = append(steps, Step{At: at, Name: "tokyo moves", Do: func(w *World) {
			h := w.Host("tokyo")
			to := netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", 21+i))
			if h.spec.Addrs[0].Is6() {
				to = netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", 21+i))
			}
			if !off {
				h.Readdress(to)
				return
			}
			h.Readdress()
			w.after(3*time.Second, func() { h.Readdress(to) })
		}})
	}
	return steps
}

// rebindings give the NAT another address n times.
func rebindings(r *rand.Rand, n int) []Step {
	var steps []Step
	for i := range n {
		steps = append(steps, Step{At: moment(r), Name: "the NAT has another address", Do: func(w *World) {
			w.RebindNATs(netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 21+i)))
		}})
	}
	return steps
}
