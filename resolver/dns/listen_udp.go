package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// receiveBuffer rides out a burst.
	receiveBuffer = 1 << 20
	// readers of one socket: the core is one, and a second reader takes questions
	// while the first sends an answer. More only wait for each other.
	readers = 2
)

// udpListener serves clients on one UDP address.
type udpListener struct {
	proxy *Proxy
	conn  *net.UDPConn
	v6    bool
	// any says that the socket is bound to no certain address: an answer has to
	// say that it comes from where the question went.
	any  bool
	work sync.WaitGroup
}

func network(kind string, a netip.AddrPort) string {
	if a.Addr().Unmap().Is4() {
		return kind + "4"
	}
	return kind + "6"
}

func (p *Proxy) listenUDP(a netip.AddrPort) (*udpListener, error) {
	lc := net.ListenConfig{Control: p.c.Control}
	pc, err := lc.ListenPacket(p.ctx, network("udp", a), a.String())
	if err != nil {
		return nil, err
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is no UDP socket", pc), pc.Close())
	}
	l := &udpListener{proxy: p, conn: conn, v6: !a.Addr().Unmap().Is4(), any: a.Addr().IsUnspecified()}
	if l.any {
		if l.v6 {
			err = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		} else {
			err = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	_ = conn.SetReadBuffer(receiveBuffer) // a smaller one serves, too
	for range readers {
		l.work.Go(l.run)
	}
	return l, nil
}

// close ends the listener and waits for it.
func (l *udpListener) close() {
	_ = l.conn.Close()
	l.work.Wait()
}

// run reads questions until the socket is closed. An error that is about one
// client ends nothing.
func (l *udpListener) run() {
	buf := make([]byte, maxQuery)
	oob := make([]byte, 128)
	for {
		c := l.proxy.clients.Get().(*client)
		n, from, source, err := l.read(buf, oob)
		if err != nil {
			l.proxy.clients.Put(c)
			if errors.Is(err, net.ErrClosed) || l.proxy.ctx.Err() != nil {
				return
			}
			continue
		}
		if from.Port() == 0 {
			l.proxy.clients.Put(c)
			continue // nobody can be there
		}
		c.udp, c.addr, c.source = l, from, source
		l.proxy.serve(c, buf[:n], from.Addr())
	}
}

// read takes one message; source is the control message for its answer.
func (l *udpListener) read(buf, oob []byte) (n int, from netip.AddrPort, source []byte, err error) {
	if !l.any {
		n, from, err = l.conn.ReadFromUDPAddrPort(buf)
		return n, from, nil, err
	}
	n, oobn, _, from, err := l.conn.ReadMsgUDPAddrPort(buf, oob)
	if err != nil {
		return n, from, nil, err
	}
	if l.v6 {
		var cm ipv6.ControlMessage
		if cm.Parse(oob[:oobn]) == nil && cm.Dst != nil {
			source = (&ipv6.ControlMessage{Src: cm.Dst, IfIndex: cm.IfIndex}).Marshal()
		}
		return n, from, source, nil
	}
	var cm ipv4.ControlMessage
	if cm.Parse(oob[:oobn]) == nil && cm.Dst != nil {
		source = (&ipv4.ControlMessage{Src: cm.Dst}).Marshal()
	}
	return n, from, source, nil
}

func (l *udpListener) send(msg []byte, to netip.AddrPort, source []byte) error {
	if source == nil {
		_, err := l.conn.WriteToUDPAddrPort(msg, to)
		return err
	}
	_, _, err := l.conn.WriteMsgUDPAddrPort(msg, source, to)
	return err
}
