package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// kinkTerms is what can be varied about a pair of hosts that speak KINK.
type kinkTerms struct {
	V6, Tunnel bool
	KINK       string // further lines of the kink blocks
	ESP        string // lines of an ipsec section
	Bundle     bool   // AH around ESP around IPComp
}

// kinkConfig is one host's racoon2.conf.
func kinkConfig(me, peer, myAddr, peerAddr, myNet, peerNet string, t kinkTerms) string {
	mode, ends := "transport", ""
	if t.Tunnel {
		mode, ends = "tunnel", fmt.Sprintf("my_sa_ipaddr %s; peers_sa_ipaddr %s;", myAddr, peerAddr)
	}
	text := fmt.Sprintf(`remote %[2]s {
	acceptable_kmp { kink; };
	kink {
		my_principal "%[7]s";
		peers_principal "%[8]s";
		peers_ipaddr %[4]s;
		interval_to_send 1 sec; max_retry_to_send 4; kmp_sa_grace_period 2 sec; dpd_delay 20 sec;
		%[9]s
	};
	selector_index %[2]s_in;
};
selector %[2]s_out { direction outbound; src %[5]s; dst %[6]s; policy_index %[2]s_policy; };
selector %[2]s_in { direction inbound; src %[6]s; dst %[5]s; policy_index %[2]s_policy; };
policy %[2]s_policy {
	action auto_ipsec; remote_index %[2]s; ipsec_mode %[10]s; ipsec_level require; %[11]s
	ipsec_index { %[2]s_ipsec; };
};
ipsec %[2]s_ipsec { %[12]s sa_index %[2]s_esp; };
sa %[2]s_esp { sa_protocol esp; esp_enc_alg { aes_gcm; }; };
`, me, peer, myAddr, peerAddr, myNet, peerNet, principalOf(me), principalOf(peer), t.KINK, mode, ends, t.ESP)
	if t.Bundle {
		text = strings.Replace(text, "sa_index "+peer+"_esp;", fmt.Sprintf("sa_index { %[1]s_esp; %[1]s_ah; %[1]s_comp; };", peer), 1)
		text += fmt.Sprintf(`sa %[1]s_ah { sa_protocol ah; ah_auth_alg { hmac_sha2_256; }; };
sa %[1]s_comp { sa_protocol ipcomp; ipcomp_alg deflate; };
`, peer)
	}
	return text
}

// kinkPair makes two hosts, tokyo and osaka, and a flow of pings each way.
func kinkPair(t kinkTerms) Scenario {
	addrs := [2]string{"192.0.2.1", "192.0.2.2"}
	nets := [2]string{"10.0.1.0/24", "10.0.2.0/24"}
	inner := [2]string{"10.0.1.1", "10.0.2.1"}
	if t.V6 {
		addrs = [2]string{"2001:db8::1", "2001:db8::2"}
		nets = [2]string{"2001:db8:1::/64", "2001:db8:2::/64"}
		inner = [2]string{"2001:db8:1::1", "2001:db8:2::1"}
	}
	if !t.Tunnel {
		nets, inner = addrs, addrs
	}
	names := [2]string{"tokyo", "osaka"}
	var s Scenario
	for i := range 2 {
		j := 1 - i
		h := HostSpec{
			Name: names[i], Addrs: []netip.Addr{netip.MustParseAddr(addrs[i])},
			Config: kinkConfig(names[i], names[j], addrs[i], addrs[j], nets[i], nets[j], t),
		}
		if t.Tunnel {
			h.Nets = []netip.Prefix{netip.MustParsePrefix(nets[i])}
		}
		s.Hosts = append(s.Hosts, h)
		s.Flows = append(s.Flows, Flow{
			From: netip.MustParseAddr(inner[i]), To: netip.MustParseAddr(inner[j]), Start: time.Second, Interval: time.Second, Must: Pass,
		})
	}
	return s
}

// restart plans an end of a host at a moment and its start ten seconds later.
func restart(r *rand.Rand, reboot bool) []Step {
	name, at := oneOf(r, "tokyo", "osaka"), moment(r)*3/4
	return []Step{
		{At: at, Name: "crash " + name, Do: func(w *World) { w.Host(name).Crash(reboot) }},
		{At: at + 10*time.Second, Name: "restart " + name, Do: func(w *World) { w.Host(name).Restart() }},
	}
}

// short is SAs that are rekeyed several times.
const short = "ipsec_sa_lifetime_time 40 sec;"

// kinkKinds are the situations that the seeds go through in turn.
var kinkKinds = []situation{
	{"transport over IPv4", func(*rand.Rand) Scenario { return kinkPair(kinkTerms{}) }},
	{"transport over IPv6", func(*rand.Rand) Scenario { return kinkPair(kinkTerms{V6: true}) }},
	{"tunnel over IPv4", func(*rand.Rand) Scenario { return kinkPair(kinkTerms{Tunnel: true}) }},
	{"tunnel over IPv6", func(*rand.Rand) Scenario { return kinkPair(kinkTerms{Tunnel: true, V6: true}) }},
	{"three messages", func(*rand.Rand) Scenario { return kinkPair(kinkTerms{KINK: "three_way on;"}) }},
	{"PFS", func(*rand.Rand) Scenario {
		return kinkPair(kinkTerms{Tunnel: true, KINK: "need_pfs on; kmp_dh_group { curve25519; };"})
	}},
	{"rekeying", func(*rand.Rand) Scenario { return kinkPair(kinkTerms{ESP: short}) }},
	{"rekeying in three messages", func(*rand.Rand) Scenario {
		return kinkPair(kinkTerms{Tunnel: true, KINK: "three_way on;", ESP: short})
	}},
	{"rekeying after some traffic", func(*rand.Rand) Scenario {
		return kinkPair(kinkTerms{ESP: "ipsec_sa_lifetime_byte 4000 B;"})
	}},
	{"flushed and coming back", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{KINK: oneOf(r, "", "three_way on;")})
		s.Steps = sometimes(r, 4, func(_ *World, h *Host) { h.Flush("") })
		return s
	}},
	{"reboot", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{Tunnel: r.IntN(2) == 0, KINK: oneOf(r, "", "three_way on;")})
		s.Steps = restart(r, true)
		return s
	}},
	{"restart of the process", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{ESP: oneOf(r, "", short)})
		name, at := oneOf(r, "tokyo", "osaka"), moment(r)
		s.Steps = []Step{
			{At: at, Name: "stop " + name, Do: func(w *World) { w.Host(name).Stop() }},
			{At: at + 5*time.Second, Name: "restart " + name, Do: func(w *World) { w.Host(name).Restart() }},
		}
		return s
	}},
	{"clocks that differ", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{ESP: oneOf(r, "", short)})
		s.Hosts[0].Skew = time.Duration(r.IntN(60)-30) * time.Minute
		s.Hosts[1].Skew = time.Duration(r.IntN(60)-30) * time.Minute
		return s
	}},
	{"clocks that differ, and a reboot", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{})
		s.Hosts[r.IntN(2)].Skew = time.Duration(r.IntN(60)-30) * time.Minute
		s.Steps = restart(r, true)
		return s
	}},
	{"tickets that end", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{ESP: short})
		s.Realm = Realm{TicketLife: 50 * time.Second, Skew: 5 * time.Second}
		return s
	}},
	{"user-to-user", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{KINK: oneOf(r, "user_to_user on;", "user_to_user require;", ""), ESP: oneOf(r, "", short)})
		s.Realm.OnlyUserToUser = true
		s.Steps = sometimes(r, 3, func(_ *World, h *Host) { h.Relogin() })
		return s
	}},
	{"user-to-user, and a reboot", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{KINK: "user_to_user on;"})
		s.Steps = restart(r, true)
		return s
	}},
	{"keytabs that change", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{ESP: short})
		s.Steps = sometimes(r, 3, func(_ *World, h *Host) { h.RotateKeytab() })
		return s
	}},
	{"a KDC that is down", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{ESP: short})
		s.Realm = Realm{TicketLife: 60 * time.Second, Skew: 5 * time.Second}
		at := moment(r) / 2
		s.Steps = []Step{
			{At: at, Name: "KDC down", Do: func(w *World) { w.SetKDC(true) }},
			{At: at + 20*time.Second, Name: "KDC up", Do: func(w *World) { w.SetKDC(false) }},
		}
		return s
	}},
	{"meddlers in the kernel", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{})
		s.Steps = sometimes(r, 3, meddle)
		return s
	}},
	{"failing kernels", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{KINK: oneOf(r, "", "three_way on;")})
		s.Steps = sometimes(r, 4, failOnce)
		return s
	}},
	{"bundles", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{Tunnel: r.IntN(2) == 0, Bundle: true, KINK: oneOf(r, "", "three_way on;"), ESP: oneOf(r, "", short)})
		if r.IntN(2) == 0 {
			s.Steps = sometimes(r, 2, func(_ *World, h *Host) { h.Flush("") })
		}
		return s
	}},
	{"bundles, and a reboot", func(r *rand.Rand) Scenario {
		s := kinkPair(kinkTerms{Tunnel: r.IntN(2) == 0, Bundle: true})
		s.Steps = restart(r, true)
		return s
	}},
	{"both begin at once", func(*rand.Rand) Scenario {
		s := kinkPair(kinkTerms{})
		s.Steps = []Step{{At: 900 * time.Millisecond, Name: "both up", Do: func(w *World) {
			w.Host("tokyo").Up("osaka_out")
			w.Host("osaka").Up("tokyo_out")
		}}}
		return s
	}},
}

// kinkGap is the longest time that traffic may stand still once the network is calm: a
// rekeying or a new start that the bad weather broke, found out after a whole cycle of
// retransmissions, an acquire that rests, and a peer that is asked for its STATUS.
const kinkGap = 100 * time.Second

// kinkSeeded makes the scenario of a seed.
func kinkSeeded(seed uint64) Scenario {
	k := kinkKinds[seed%uint64(len(kinkKinds))]
	r := rand.New(rand.NewPCG(seed, 910))
	s := k.make(r)
	s.Name, s.Seed = k.name, seed
	s.Faults = bad
	s.Duration, s.Settle = time.Minute, 6*time.Minute
	s.StopInTurn = r.IntN(2) == 0
	s.Gap = kinkGap
	if r.IntN(4) == 0 {
		s.Faults.Corrupt = 0.05
	}
	return s
}

var kinkPopulation = population{"TestKINKSeeds", kinkKinds, kinkSigns, kinkSeeded}

// TestKINKSeeds plays many seeds on a bad network, as TestSeeds does for IKEv2.
func TestKINKSeeds(t *testing.T) { kinkPopulation.play(t) }

// TestKINKSameSeedSameRun plays seeds twice: the transcripts are the same.
func TestKINKSameSeedSameRun(t *testing.T) { kinkPopulation.playTwice(t) }

// TestKINKKindsAreWhatTheySay looks for the signs of each kind in a few seeds.
func TestKINKKindsAreWhatTheySay(t *testing.T) { kinkPopulation.look(t, 8) }

// kinkSigns are what must be seen in the transcript of some seed of a kind.
var kinkSigns = map[string][]string{
	"transport over IPv4":              {"KINK CREATE", "lost", "doubled after", "retransmission"},
	"three messages":                   {"KINK REPLY", "ACKREQ", "KINK ACK"},
	"rekeying":                         {"child_rekeyed", "KINK DELETE"},
	"rekeying after some traffic":      {"child_rekeyed"},
	"flushed and coming back":          {"child_down"},
	"reboot":                           {"peer_restart"},
	"clocks that differ":               {"skew"},
	"tickets that end":                 {"child_rekeyed"},
	"user-to-user":                     {"KINK GETTGT", "TGT_REP"},
	"keytabs that change":              {"unauthenticated"},
	"a KDC that is down":               {"(KDC)"},
	"failing kernels":                  {"kernel refuses: out of memory"},
	"clocks that differ, and a reboot": {"skew", "peer_restart"},
}
