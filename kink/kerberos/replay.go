package kerberos

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"racoon2/kink"
)

// replayCache remembers authenticators (RFC 4120 §3.2.3). An entry is kept until
// ctime plus twice the skew. It is bounded, and full means refused: an entry that
// may be replayed is never given up. One client can fill an eighth. It is ours: gokrb5's
// lets a replay through under load, knows no realms, has no bound and cannot be stopped.
//
// Entries lie in slots by the minute that their ctime is in, and a whole slot goes
// at a time: no timer and no sweep through entries.
type replayCache struct {
	skew    time.Duration
	most    int
	mu      sync.Mutex
	slots   map[int64]map[replayKey]string // minute → entry → client
	latest  map[int64]time.Time            // minute → the last ctime in it
	clients map[string]int
	count   int
	start   time.Time // authenticators before this time are refused
	// forgot is just after the last entry that a sweep has dropped, by the peers' clock:
	// a clock that was ahead and is right again must not have one accepted once more.
	forgot time.Time
}

type replayKey [sha256.Size]byte

const replaySlot = time.Minute

func newReplayCache(skew time.Duration, most int, start time.Time) *replayCache {
	return &replayCache{
		skew: skew, most: most, start: start,
		slots: make(map[int64]map[replayKey]string), latest: make(map[int64]time.Time), clients: make(map[string]int),
	}
}

// keyOf is what makes an authenticator the same: server, client with its realm, time
// and the ciphertext.
func keyOf(server, client string, at time.Time, cipher []byte) replayKey {
	h := sha256.New()
	for _, s := range []string{server, client} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		h.Write([]byte(s))
	}
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro())))
	h.Write(cipher)
	return replayKey(h.Sum(nil))
}

func slotOf(t time.Time) int64 { return t.Unix() / int64(replaySlot/time.Second) }

// insert enters an authenticator made at the time at, at once or never. Both times
// are of a clock that is ahead of this host's by offset.
func (c *replayCache) insert(now, at time.Time, offset time.Duration, client string, key replayKey) error {
	if err := c.early(at, offset); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.Before(now.Add(-2 * c.skew)) {
		return krbErrorf(kink.KRB_AP_ERR_SKEW, "the authenticator's time passed before it was used")
	}
	c.sweep(now)
	slot := slotOf(at)
	if _, seen := c.slots[slot][key]; seen {
		return krbErrorf(kink.KRB_AP_ERR_REPEAT, "%s sent this authenticator before", client)
	}
	if c.count >= c.most || c.clients[client] >= max(1, c.most/8) {
		return krbErrorf(kink.KRB_ERR_GENERIC, "the replay cache is full: %d authenticators, %d of %s", c.count, c.clients[client], client)
	}
	if c.slots[slot] == nil {
		c.slots[slot] = make(map[replayKey]string)
	}
	c.slots[slot][key] = client
	if c.latest[slot].Before(at) {
		c.latest[slot] = at
	}
	c.clients[client]++
	c.count++
	return nil
}

// early refuses an authenticator from before the start: it may have been used then.
// That is a skew error and not a replay: a client whose clock is behind learns the time
// from the answer and comes again.
func (c *replayCache) early(at time.Time, offset time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	start := c.start.Add(offset)
	if start.Before(c.forgot) {
		start = c.forgot
	}
	if !at.Before(start) {
		return nil
	}
	return krbErrorf(kink.KRB_AP_ERR_SKEW, "the authenticator of %s is older than this host's replay cache, which begins at %s",
		stamp(at), stamp(start))
}

func (c *replayCache) sweep(now time.Time) {
	oldest := slotOf(now.Add(-2*c.skew)) - 1
	for slot, entries := range c.slots {
		if slot > oldest {
			continue
		}
		for _, client := range entries {
			if c.clients[client]--; c.clients[client] == 0 {
				delete(c.clients, client)
			}
		}
		c.count -= len(entries)
		if end := c.latest[slot].Add(time.Microsecond); c.forgot.Before(end) {
			c.forgot = end
		}
		delete(c.slots, slot)
		delete(c.latest, slot)
	}
}

func (c *replayCache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// ---- across a restart ----

const replayMagic = "racoon2 replay cache 1\n"

// save is the cache as octets: the time that it is complete until, its start, and the entries.
func (c *replayCache) save(now time.Time) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(now)
	start := c.start
	if start.Before(c.forgot) {
		start = c.forgot
	}
	out := []byte(replayMagic)
	out = binary.BigEndian.AppendUint64(out, uint64(start.UnixMicro()))
	out = binary.BigEndian.AppendUint64(out, uint64(now.UnixMicro()))
	for slot, entries := range c.slots {
		for key, client := range entries {
			out = binary.BigEndian.AppendUint64(out, uint64(slot))
			out = append(out, key[:]...)
			out = binary.BigEndian.AppendUint16(out, uint16(len(client)))
			out = append(out, client...)
		}
	}
	sum := sha256.Sum256(out)
	return append(out, sum[:]...)
}

// load takes over what save made, and moves the start back to that of the saved
// cache. Between saving and now nothing was accepted, so that the two are one.
// Octets that were changed, and those of a later time than now, leave it as it is.
func (c *replayCache) load(now time.Time, octets []byte) error {
	body := len(octets) - sha256.Size
	if body < len(replayMagic)+16 || string(octets[:len(replayMagic)]) != replayMagic {
		return errors.New("not a replay cache")
	}
	if sum := sha256.Sum256(octets[:body]); sum != [sha256.Size]byte(octets[body:]) {
		return errors.New("the replay cache is damaged")
	}
	s := octets[len(replayMagic):body]
	start := time.UnixMicro(int64(binary.BigEndian.Uint64(s))).UTC()
	saved := time.UnixMicro(int64(binary.BigEndian.Uint64(s[8:]))).UTC()
	if saved.After(now) || start.After(saved) {
		return fmt.Errorf("the replay cache was saved at %s, which is not before now", saved.Format(time.RFC3339))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for s = s[16:]; len(s) > 0; {
		const head = 8 + sha256.Size + 2
		if len(s) < head || len(s)-head < int(binary.BigEndian.Uint16(s[head-2:])) {
			return errors.New("an entry of the replay cache is cut off")
		}
		slot, key := int64(binary.BigEndian.Uint64(s)), replayKey(s[8:8+sha256.Size])
		end := head + int(binary.BigEndian.Uint16(s[head-2:]))
		client := string(s[head:end])
		if c.count >= c.most {
			return errors.New("the saved replay cache is larger than the configured bound")
		}
		if c.slots[slot] == nil {
			c.slots[slot] = make(map[replayKey]string)
		}
		c.latest[slot] = time.Unix((slot+1)*int64(replaySlot/time.Second), 0) // of any of them
		if _, have := c.slots[slot][key]; !have {
			c.slots[slot][key] = client
			c.clients[client]++
			c.count++
		}
		s = s[end:]
	}
	if start.Before(c.start) {
		c.start = start
	}
	return nil
}
