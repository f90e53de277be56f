package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// epochName is the file in the run directory that has the last epoch.
const epochName = "kink.epoch"

// epochNear is how far ahead of the clock a file's epoch may be to count: further
// ahead it is of before the clock was set back.
const epochNear = time.Minute

// kinkEpoch is since when this process has SAs. Epochs are in seconds (RFC 4430
// §4.2.1), so that one of a process that starts in the second of the one before it
// would tell the peers nothing: it gets the next one.
func (a *Agent) kinkEpoch(now time.Time) time.Time {
	path := filepath.Join(a.o.RunDir, epochName)
	if text, err := os.ReadFile(path); err == nil {
		last, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if at := time.Unix(last, 0); err == nil && at.Unix() >= now.Unix() && at.Sub(now) < epochNear {
			now = at.Add(time.Second)
		}
	}
	err := os.MkdirAll(a.o.RunDir, 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(strconv.FormatInt(now.Unix(), 10)+"\n"), 0o600)
	}
	if err != nil {
		a.main.Warn("the epoch of KINK cannot be kept; after a restart within this second peers would not notice it", "error", err)
	}
	return now
}
