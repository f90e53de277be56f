package dns

import (
	"net/netip"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// client is one question that waits for its answer.
type client struct {
	query   query
	section [256 + questionEnd]byte // what query.section lies in
	packet  [maxUDP]byte            // for an answer over UDP

	// Exactly one of these is set.
	udp *udpListener
	tcp *tcpConn

	addr   netip.AddrPort // of an asker over UDP
	source []byte         // control message that names the address to answer from
}

// serve takes a message from a client. c has its way back; it is handed back to
// the pool when all is done. Of msg nothing is kept.
func (p *Proxy) serve(c *client, msg []byte, from netip.Addr) {
	answer, asks := c.read(p, msg, nil)
	switch {
	case asks:
		p.Input(resolver.Query{Client: c, From: from, Question: c.query.question})
		return
	case answer != nil:
		c.send(p, answer)
	}
	c.done(p)
}

// read takes a message in. It returns the answer to one that needs no resolver,
// or says that it asks something.
func (c *client) read(p *Proxy, msg []byte, names *nameTable) (answer []byte, asks bool) {
	verdict, code := c.query.parse(msg, names)
	if len(c.query.section) > 0 {
		c.query.section = c.section[:copy(c.section[:], c.query.section)]
	}
	switch verdict {
	case rejected:
		if code == mdns.RcodeFormatError {
			p.counters.malformed.Add(1)
		}
		return c.query.bare(c.buffer(), code, 0), false
	case short:
		return c.query.shortAny(c.buffer()), false
	case accepted:
		return nil, true
	}
	p.counters.malformed.Add(1)
	return nil, false
}

// reply answers with what the core says.
func (c *client) reply(p *Proxy, r *resolver.Reply) {
	limit := c.query.size
	if c.tcp != nil {
		limit = maxMessage
	}
	c.send(p, c.query.respond(c.buffer(), r, *p.ttls.Load(), limit))
	c.done(p)
}

// buffer is where an answer is made: for TCP it lives on until it is written.
func (c *client) buffer() []byte {
	if c.tcp != nil {
		return make([]byte, 0, maxUDP)
	}
	return c.packet[:0]
}

func (c *client) send(p *Proxy, msg []byte) {
	if c.tcp != nil {
		c.tcp.send(msg)
		return
	}
	if err := c.udp.io.send(msg, c.addr, c.source); err != nil {
		p.counters.unsent.Add(1)
	}
}

// done hands the client back.
func (c *client) done(p *Proxy) {
	if c.tcp != nil {
		c.tcp.finished()
	}
	c.udp, c.tcp, c.source = nil, nil, nil
	p.clients.Put(c)
}
