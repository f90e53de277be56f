package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// receiveBuffer rides out a burst.
	receiveBuffer = 1 << 20
)

// udpListener serves clients on one UDP address.
type udpListener struct {
	proxy   *Proxy
	io      packets
	closing atomic.Bool
	work    sync.WaitGroup
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
	// An answer from a socket that is bound to no certain address has to say that
	// it comes from where the question went.
	v6, any := !a.Addr().Unmap().Is4(), a.Addr().IsUnspecified()
	if any {
		if v6 {
			err = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		} else {
			err = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	_ = conn.SetReadBuffer(receiveBuffer) // a smaller one serves, too
	l := &udpListener{proxy: p}
	if l.io, err = newPackets(conn, v6, any); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	// One reader: it takes what waits in one call, and a second one would mostly
	// wake to find nothing.
	l.work.Go(newBatch(l, l.io).run)
	return l, nil
}

// close ends the listener and waits for it.
func (l *udpListener) close() {
	l.closing.Store(true)
	l.io.stop()
	l.work.Wait()
}
