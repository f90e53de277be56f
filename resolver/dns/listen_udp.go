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
)

// udpListener serves clients on one UDP address.
type udpListener struct {
	proxy *Proxy
	conn  *net.UDPConn
	v6    bool
	// any says that the socket is bound to no certain address: an answer has to
	// say that it comes from where the question went.
	any     bool
	batches packets
	work    sync.WaitGroup
}

// packets reads and writes several packets with one call of the system.
type packets interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
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
	if l.batches = packets(ipv4.NewPacketConn(conn)); l.v6 {
		l.batches = ipv6.NewPacketConn(conn)
	}
	// One reader: it takes what waits in one call, and a second one would mostly
	// wake to find nothing.
	l.work.Go(newBatch(l).run)
	return l, nil
}

// close ends the listener and waits for it.
func (l *udpListener) close() {
	_ = l.conn.Close()
	l.work.Wait()
}

func (l *udpListener) send(msg []byte, to netip.AddrPort, source []byte) error {
	if source == nil {
		_, err := l.conn.WriteToUDPAddrPort(msg, to)
		return err
	}
	_, _, err := l.conn.WriteMsgUDPAddrPort(msg, source, to)
	return err
}
