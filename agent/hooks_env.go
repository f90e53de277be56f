package agent

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kink"
)

// The environment of a hook is the original's, to the octet: these variables in
// this order and no others. Ports are numbers, 0 for any.

// ikeEnv is for the events of IKE SAs.
func ikeEnv(local, remote netip.AddrPort) []string {
	return []string{
		"LOCAL_ADDR=" + local.Addr().Unmap().String(),
		"LOCAL_PORT=" + strconv.Itoa(int(local.Port())),
		"REMOTE_ADDR=" + remote.Addr().Unmap().String(),
		"REMOTE_PORT=" + strconv.Itoa(int(remote.Port())),
	}
}

// migrationEnv is for a tunnel whose end points have moved.
func migrationEnv(oldLocal, oldRemote, local, remote netip.Addr) []string {
	return []string{
		"OLD_SRC=" + oldLocal.Unmap().String(),
		"OLD_DST=" + oldRemote.Unmap().String(),
		"NEW_SRC=" + local.Unmap().String(),
		"NEW_DST=" + remote.Unmap().String(),
	}
}

// hookChild is what the events of children tell.
type hookChild struct {
	local, remote netip.Addr // outer addresses
	selector      string     // outbound
	mode          kernel.Mode
	net, peerNet  hookNet
	protocol      uint8        // 0 is any
	leased        []netip.Addr // to the peer
	given         hookGiven    // by the peer
}

// hookNet is one side of a child's traffic.
type hookNet struct {
	prefix netip.Prefix
	port   uint16 // 0 is any
}

// hookGiven is what a peer has given in its configuration payload.
type hookGiven struct {
	addr4, dns4, wins4, dhcp4 []netip.Addr
	addr6, dns6, dhcp6        []netip.Addr
	version                   string
}

// env is for the events of children.
func (c hookChild) env() []string {
	protocol := "any"
	if c.protocol != 0 {
		protocol = strconv.Itoa(int(c.protocol))
	}
	out := []string{
		"LOCAL_ADDR=" + c.local.Unmap().String(),
		"REMOTE_ADDR=" + c.remote.Unmap().String(),
		"SELECTOR_INDEX=" + c.selector,
		"IPSEC_MODE=" + c.mode.String(),
	}
	out = append(out, c.net.env("LOCAL_NET_")...)
	out = append(out, c.peerNet.env("REMOTE_NET_")...)
	out = append(out, "UPPER_LAYER_PROTOCOL="+protocol)
	out = append(out, leasedEnv(c.leased)...)
	return append(out,
		"INTERNAL_ADDR4="+words(c.given.addr4),
		"INTERNAL_DNS4="+words(c.given.dns4),
		"INTERNAL_WINS4="+words(c.given.wins4),
		"INTERNAL_DHCP4="+words(c.given.dhcp4),
		"INTERNAL_ADDR6="+words(c.given.addr6),
		"INTERNAL_DNS6="+words(c.given.dns6),
		"INTERNAL_DHCP6="+words(c.given.dhcp6),
		"APPLICATION_VERSION="+printableText(c.given.version),
	)
}

func (n hookNet) env(prefix string) []string {
	return []string{
		prefix + "ADDR=" + n.prefix.Addr().String(),
		prefix + "PREFIXLEN=" + strconv.Itoa(n.prefix.Bits()),
		prefix + "PORT=" + strconv.Itoa(int(n.port)),
	}
}

// leasedEnv are the addresses that were given to the peer: the first of each
// family, and the first of all.
func leasedEnv(leased []netip.Addr) (out []string) {
	for _, family := range []struct {
		name string
		is4  bool
	}{{"INTERNAL4_ADDR=", true}, {"INTERNAL6_ADDR=", false}} {
		for _, a := range leased {
			if a.Is4() == family.is4 {
				out = append(out, family.name+a.String())
				break
			}
		}
	}
	if len(leased) > 0 {
		out = append(out, "INTERNAL_ADDR="+leased[0].String())
	}
	return out
}

// printableText replaces what a peer may have put into a text to lead a script astray.
func printableText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// words are addresses with blanks between them.
func words(list []netip.Addr) string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return strings.Join(out, " ")
}

// ikeHookChild describes a child of an IKE SA.
func ikeHookChild(c ikev2.ChildInfo) hookChild {
	out := hookChild{local: c.Local, remote: c.Remote, selector: c.Name, mode: c.Mode}
	// Where a child has several selectors the first is told, as in the original.
	if len(c.TSLocal) > 0 {
		out.net, out.protocol = netOf(c.TSLocal[0]), c.TSLocal[0].Protocol
	}
	if len(c.TSRemote) > 0 {
		out.peerNet = netOf(c.TSRemote[0])
	}
	return out
}

// netOf is the network of a traffic selector: for a range that is none, the
// smallest one that holds it.
func netOf(ts message.TrafficSelector) hookNet {
	n := hookNet{port: ts.StartPort}
	bits := ts.Start.BitLen()
	for ; bits > 0; bits-- {
		if p := netip.PrefixFrom(ts.Start, bits).Masked(); p.Contains(ts.End) {
			break
		}
	}
	n.prefix = netip.PrefixFrom(ts.Start, bits).Masked()
	return n
}

// ikeHook runs the hook of an effect of the IKEv2 engine.
func (a *Agent) ikeHook(effect ikev2.Effect) {
	const kmp = config.KMPIKEv2
	switch e := effect.(type) {
	case ikev2.IKEUp:
		event := config.EventPhase1Up
		if e.Again {
			event = config.EventPhase1Rekey
		}
		a.hook(kmp, e.Remote, e.Peer, event, func() []string { return ikeEnv(e.Local, e.PeerAt) })
	case ikev2.IKEDown:
		a.hook(kmp, e.Remote, e.Peer, config.EventPhase1Down, func() []string { return ikeEnv(e.Local, e.PeerAt) })
	case ikev2.ChildUp:
		event := config.EventPhase2Up
		if e.Again {
			event = config.EventPhase2Rekey
		}
		a.hook(kmp, e.Remote, e.Peer, event, ikeHookChild(e.Info).env)
	case ikev2.IKEMoved:
		a.hook(kmp, e.Remote, e.Peer, config.EventMigration, func() []string {
			return migrationEnv(e.OldLocal, e.OldPeer, e.Local, e.PeerAddress)
		})
	case ikev2.ChildDown:
		a.hook(kmp, e.Remote, e.Peer, config.EventPhase2Down, ikeHookChild(e.Info).env)
	}
}

// kinkHookChild describes a pair of KINK.
func kinkHookChild(c kink.ChildInfo) hookChild {
	return hookChild{
		local: c.Local, remote: c.Remote, selector: c.Name, mode: c.Mode, protocol: c.Selector.Proto,
		net:     hookNet{c.Selector.Src, c.Selector.SrcPort.First},
		peerNet: hookNet{c.Selector.Dst, c.Selector.DstPort.First},
	}
}

// kinkHook runs the hook of an effect of KINK's engine, which has nothing like an
// IKE SA.
func (a *Agent) kinkHook(effect kink.Effect) {
	const kmp = config.KMPKINK
	switch e := effect.(type) {
	case kink.ChildUp:
		event := config.EventPhase2Up
		if e.Again {
			event = config.EventPhase2Rekey
		}
		if !e.Told {
			a.hook(kmp, e.Remote, e.Peer, event, kinkHookChild(e.Info).env)
		}
	case kink.ChildDown:
		a.hook(kmp, e.Remote, e.Peer, config.EventPhase2Down, kinkHookChild(e.Info).env)
	}
}
