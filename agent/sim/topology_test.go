package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// side is one host's end of a connection, from which a racoon2.conf is made.
type side struct {
	Me, Peer         string // names, which are the identities too
	MyAddr, PeerAddr string // "" for a peer that may come from anywhere
	MyNet, PeerNet   string
	Transport        bool
	Floating         bool   // the tunnel ends at whatever address the IKE SA has
	IKE, Policy      string // further lines of the ikev2 block and of the policy
	ESP              string // lines of an ipsec section; "" is the built-in one
}

// text is the configuration of one side.
func (s side) text() string {
	var b strings.Builder
	mode, ends := "tunnel", ""
	if s.Transport {
		mode = "transport"
	} else {
		peer := s.PeerAddr
		if peer == "" {
			peer = "IP_RW"
		}
		ends = fmt.Sprintf("\tmy_sa_ipaddr %s;\n\tpeers_sa_ipaddr %s;\n", s.MyAddr, peer)
		if s.Floating {
			ends = fmt.Sprintf("\tpeers_sa_ipaddr %s;\n", peer)
		}
	}
	where := "IP_RW"
	if s.PeerAddr != "" {
		where = s.PeerAddr
	}
	fmt.Fprintf(&b, `remote %[2]s {
	acceptable_kmp { ikev2; };
	ikev2 {
		my_id fqdn "%[1]s";
		peers_id fqdn "%[2]s";
		peers_ipaddr %[3]s;
		pre_shared_key "/psk";
		%[4]s
	};
	selector_index %[2]s_in;
};
selector %[2]s_out { direction outbound; src %[5]s; dst %[6]s; policy_index %[2]s_policy; };
selector %[2]s_in { direction inbound; src %[6]s; dst %[5]s; policy_index %[2]s_policy; };
policy %[2]s_policy {
	action auto_ipsec;
	remote_index %[2]s;
	ipsec_mode %[7]s;
	ipsec_level require;
%[8]s	%[9]s
`, s.Me, s.Peer, where, s.IKE, s.MyNet, s.PeerNet, mode, ends, s.Policy)
	if s.ESP == "" {
		b.WriteString("};\n")
	} else {
		fmt.Fprintf(&b, "\tipsec_index { %[1]s_ipsec; };\n};\nipsec %[1]s_ipsec { %[2]s sa_index %[1]s_esp; };\n", s.Peer, s.ESP)
		fmt.Fprintf(&b, "sa %s_esp { sa_protocol esp; esp_enc_alg { aes_gcm; }; };\n", s.Peer)
	}
	return b.String()
}

// reverse is the other end.
func (s side) reverse() side {
	s.Me, s.Peer = s.Peer, s.Me
	s.MyAddr, s.PeerAddr = s.PeerAddr, s.MyAddr
	s.MyNet, s.PeerNet = s.PeerNet, s.MyNet
	return s
}

// fast makes key exchanges cheap.
const fast = "kmp_enc_alg { aes_gcm; }; kmp_prf_alg { hmac_sha2_256; }; kmp_dh_group { curve25519; }; kmp_sa_nego_time_limit 60 sec;"

// terms is what can be varied about a pair of hosts.
type terms struct {
	V6, Transport bool
	NAT           bool // in front of tokyo
	Roaming       bool // tokyo changes its address
	IKE, ESP      string
}

// pair makes two hosts, tokyo and osaka, and a flow of pings each way; with a
// NAT in front of tokyo only tokyo can begin.
func pair(t terms) Scenario {
	s := side{
		Me: "tokyo", Peer: "osaka", MyAddr: "192.0.2.1", PeerAddr: "192.0.2.2",
		MyNet: "10.0.1.0/24", PeerNet: "10.0.2.0/24", Transport: t.Transport, IKE: fast + t.IKE, ESP: t.ESP,
	}
	from, to := "10.0.1.1", "10.0.2.1"
	if t.V6 {
		s.MyAddr, s.PeerAddr = "2001:db8::1", "2001:db8::2"
		s.MyNet, s.PeerNet = "2001:db8:1::/64", "2001:db8:2::/64"
		from, to = "2001:db8:1::1", "2001:db8:2::1"
	}
	var scenario Scenario
	if t.NAT {
		s.MyAddr = "192.168.1.2"
		scenario.NATs = []NAT{{Inside: netip.MustParsePrefix("192.168.1.0/24"), Outside: netip.MustParseAddr("203.0.113.1")}}
	}
	if t.Transport {
		s.MyNet, s.PeerNet = s.MyAddr, s.PeerAddr
		from, to = s.MyAddr, s.PeerAddr
	}
	other := s.reverse()
	if t.NAT {
		other.PeerAddr = "203.0.113.1"
	}
	if t.Roaming {
		s.Floating, other.PeerAddr = true, ""
	}
	scenario.Hosts = []HostSpec{site(s), site(other)}
	scenario.Flows = []Flow{
		{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), Start: time.Second, Interval: time.Second, Must: Pass},
		{From: netip.MustParseAddr(to), To: netip.MustParseAddr(from), Start: time.Second, Interval: time.Second, Must: Pass},
	}
	if t.NAT || t.Roaming {
		scenario.Flows[1].Must = Either // acquires of osaka lead nowhere; the ping's answers come all the same
		scenario.Flows[1].Start = 5 * time.Second
	}
	return scenario
}

// site makes a host of a side.
func site(s side) HostSpec {
	h := HostSpec{
		Name:   s.Me,
		Addrs:  []netip.Addr{netip.MustParseAddr(s.MyAddr)},
		Config: s.text(),
		Files:  map[string]string{"/psk": "a shared key of some length"},
	}
	if !s.Transport {
		h.Nets = []netip.Prefix{netip.MustParsePrefix(s.MyNet)}
	}
	return h
}

// triangle makes three hosts, each with a tunnel to both others.
func triangle() Scenario {
	names := []string{"tokyo", "osaka", "nara"}
	var s Scenario
	for i, me := range names {
		var texts []string
		for j, peer := range names {
			if i == j {
				continue
			}
			one := side{
				Me: me, Peer: peer, MyAddr: fmt.Sprintf("192.0.2.%d", i+1), PeerAddr: fmt.Sprintf("192.0.2.%d", j+1),
				MyNet: fmt.Sprintf("10.0.%d.0/24", i+1), PeerNet: fmt.Sprintf("10.0.%d.0/24", j+1), IKE: fast,
			}
			texts = append(texts, one.text())
			if len(s.Hosts) == i {
				s.Hosts = append(s.Hosts, site(one))
			}
			s.Flows = append(s.Flows, Flow{
				From: netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", i+1)), To: netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", j+1)),
				Start: time.Second, Interval: time.Second, Must: Pass,
			})
		}
		s.Hosts[i].Config = strings.Join(texts, "")
	}
	return s
}

// replaced is a configuration with one text in place of another, and with
// further lines in its ikev2 blocks.
func replaced(config, old, now, more string) string {
	if old != "" {
		config = strings.ReplaceAll(config, old, now)
	}
	return strings.ReplaceAll(config, "pre_shared_key", more+" pre_shared_key")
}
