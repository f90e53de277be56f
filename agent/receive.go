package agent

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"racoon2/ikev2"
	"racoon2/kernel/trace"
	"racoon2/kink"
)

// The reasons under which the agent itself counts.
const (
	reasonOverload     = "overload"           // a shard could not keep up, datagrams were dropped
	reasonTooLong      = "datagram_too_long"  // a message of more than maxIKE octets
	reasonTooShort     = "datagram_too_short" // on the NAT port: neither a marker nor an SPI
	reasonKeepalive    = "nat_keepalive"      // NAT-keepalive packets, which are ignored
	reasonSend         = "send_failed"        // the system refused a datagram
	reasonStray        = "kernel_event_stray" // a kernel event about an SA that is not ours
	reasonHook         = "hook"               // scripts that were run
	reasonHookFailed   = "hook_failed"        // scripts that were refused, failed or were killed
	reasonHookLost     = "hook_lost"          // scripts that there was no room for
	reasonPanic        = "panic"              // a core or a job failed inside
	reasonReload       = "reload"             // configurations taken over while running
	reasonReloadFailed = "reload_failed"      // configurations refused while running
)

// readPause keeps a socket that fails again and again from taking a processor.
const readPause = 10 * time.Millisecond

// read takes datagrams from a socket until it is closed.
func (a *Agent) read(e *endpoint) {
	buf := make([]byte, 65536)
	control := make([]byte, controlSize)
	for {
		n, cn, _, remote, err := e.conn.ReadMsgUDPAddrPort(buf, control)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// ICMP errors of earlier datagrams arrive here; they are hints that
			// anybody can forge, and IKE retransmits anyhow (RFC 7296 §2.4).
			if !errors.Is(err, syscall.ECONNREFUSED) {
				a.log.Logger("agent").Debug("receiving", "socket", e.addr, "error", err)
				time.Sleep(readPause)
			}
			continue
		}
		remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
		local := e.addr
		if to, ok := destination(control[:cn]); ok && e.addr.Addr().IsUnspecified() {
			if to.IsLinkLocalUnicast() && to.Is6() {
				to = to.WithZone(remote.Addr().Zone())
			}
			local = netip.AddrPortFrom(to, e.addr.Port())
		}
		a.arrived(e, local, remote, buf[:n])
	}
}

// arrived sorts one datagram: IKE to its shard, ESP to the kernel backend. On
// the NAT traversal port the first four octets tell them apart (RFC 3948 §2).
// data is only lent.
func (a *Agent) arrived(e *endpoint, local, remote netip.AddrPort, data []byte) {
	if e.nat {
		switch {
		case keepalive(data):
			a.counters.add(reasonKeepalive)
			return
		case len(data) < markerSize:
			a.counters.add(reasonTooShort)
			return
		case binary.BigEndian.Uint32(data) != 0:
			a.backend.ReceiveEncap(local, remote, data)
			return
		}
		data = data[markerSize:]
	}
	if len(data) > maxIKE {
		a.trace("agent", trace.Event{
			Tag: trace.ProtoWarn, Reason: reasonTooLong, Text: "dropped a datagram that is too long",
			Attrs: []trace.Attr{{Key: "remote", Value: remote.String()}},
		})
		return
	}
	a.log.Packet("agent", "received", local, remote, data)
	if e.kink {
		if !a.kink.offer(kink.Datagram{Local: local, Remote: remote, Data: append([]byte(nil), data...)}) {
			a.overloaded()
		}
		return
	}
	shard := a.shards[ikev2.ShardOf(data, remote, len(a.shards))]
	if !shard.offer(ikev2.Datagram{Local: local, Remote: remote, Data: append([]byte(nil), data...)}) {
		a.overloaded()
	}
}

func (a *Agent) overloaded() {
	a.trace("agent", trace.Event{
		Tag: trace.InternalWarn, Reason: reasonOverload,
		Text: "dropped a datagram: more arrive than can be worked on",
	})
}
