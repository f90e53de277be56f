package ikev2

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// cookieJar makes and checks cookies without keeping anything of who asks
// (RFC 7296 §2.6):
//
//	Cookie = <generation> | HMAC-SHA-256(<secret>, Ni | IPi | SPIi)
//
// The secret changes while cookies are asked for, and its predecessor is still
// taken, so that a cookie lives between one and two periods.
type cookieJar struct {
	generation byte
	secrets    [2][32]byte // this generation's and its predecessor's, by generation modulo 2
	born       time.Time   // of this generation; zero: none yet
	previous   bool        // the predecessor is valid
}

const cookiePeriod = 60 * time.Second

// rotate renews the secret when its time is over.
func (j *cookieJar) rotate(e *Engine) error {
	age := e.now.Sub(j.born)
	if !j.born.IsZero() && age < cookiePeriod {
		return nil
	}
	next := j.generation + 1
	if err := e.random(j.secrets[next%2][:]); err != nil {
		return err
	}
	j.previous = !j.born.IsZero() && age < 2*cookiePeriod
	j.generation, j.born = next, e.now
	return nil
}

func (j *cookieJar) compute(generation byte, spii uint64, addr netip.Addr, ni []byte) []byte {
	mac := hmac.New(sha256.New, j.secrets[generation%2][:])
	ip := addr.As16()
	mac.Write(ni)
	mac.Write(ip[:])
	mac.Write(binary.BigEndian.AppendUint64(nil, spii))
	return mac.Sum([]byte{generation})
}

// bake makes the cookie for a request.
func (j *cookieJar) bake(e *Engine, spii uint64, addr netip.Addr, ni []byte) ([]byte, error) {
	if err := j.rotate(e); err != nil {
		return nil, err
	}
	return j.compute(j.generation, spii, addr, ni), nil
}

// check says whether a request brings a cookie of this or the last generation.
func (j *cookieJar) check(e *Engine, cookie []byte, spii uint64, addr netip.Addr, ni []byte) bool {
	if len(cookie) != 1+sha256.Size || j.born.IsZero() || j.rotate(e) != nil {
		return false
	}
	if cookie[0] != j.generation && (!j.previous || cookie[0] != j.generation-1) {
		return false
	}
	return hmac.Equal(cookie, j.compute(cookie[0], spii, addr, ni))
}

// askCookie answers with a cookie that the peer must bring back.
func (e *Engine) askCookie(m *received, ni []byte, why string) {
	cookie, err := e.cookies.bake(e, m.SPIi, m.in.Remote.Addr(), ni)
	if err != nil {
		e.drop(m.in, reasonRandom, "no cookie: "+err.Error())
		return
	}
	e.trace(trace.Debug, reasonCookieRequired, "the peer must bring a cookie: "+why, attr("peer", m.in.Remote.String()))
	e.answerClear(m.in, m.Header, notify(message.COOKIE, cookie))
}
