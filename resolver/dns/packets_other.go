//go:build !linux

package dns

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// plainPackets takes one question at a time.
type plainPackets struct {
	conn    *net.UDPConn
	any, v6 bool

	data    [maxQuery]byte
	size    int
	from    netip.AddrPort
	control [128]byte
	oob     []byte // in control
	reply   []byte // nil: none is queued
}

// newPackets takes over the reading of a socket.
func newPackets(conn *net.UDPConn, v6, any bool) (packets, error) {
	return &plainPackets{conn: conn, v6: v6, any: any}, nil
}

func (p *plainPackets) read() (int, error) {
	n, size, _, from, err := p.conn.ReadMsgUDPAddrPort(p.data[:], p.control[:])
	if err != nil {
		return 0, err
	}
	p.size, p.oob, p.from = n, p.control[:size], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return 1, nil
}

func (p *plainPackets) question(int) ([]byte, netip.AddrPort) {
	if p.from.Port() == 0 {
		return nil, netip.AddrPort{}
	}
	return p.data[:p.size], p.from
}

func (p *plainPackets) source(int) []byte {
	if !p.any {
		return nil
	}
	if p.v6 {
		var cm ipv6.ControlMessage
		if cm.Parse(p.oob) == nil && cm.Dst != nil {
			return (&ipv6.ControlMessage{Src: cm.Dst, IfIndex: cm.IfIndex}).Marshal()
		}
		return nil
	}
	var cm ipv4.ControlMessage
	if cm.Parse(p.oob) == nil && cm.Dst != nil {
		return (&ipv4.ControlMessage{Src: cm.Dst}).Marshal()
	}
	return nil
}

func (p *plainPackets) answer(_ int, msg []byte) { p.reply = msg }

func (p *plainPackets) flush() (unsent int) {
	if p.reply == nil {
		return 0
	}
	if p.send(p.reply, p.from, p.source(0)) != nil {
		unsent = 1
	}
	p.reply = nil
	return unsent
}

func (p *plainPackets) send(msg []byte, to netip.AddrPort, source []byte) error {
	_, _, err := p.conn.WriteMsgUDPAddrPort(msg, source, to)
	return err
}

func (p *plainPackets) stop()  { _ = p.conn.Close() }
func (p *plainPackets) close() {}
