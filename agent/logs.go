package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"

	"racoon2/agent/logging"
	"racoon2/config"
	"racoon2/kernel/trace"
)

// configureLog has the log follow a configuration, as far as the command line
// leaves it open.
func (a *Agent) configureLog(p *plan) {
	if a.o.LogFormat == "" {
		// The configuration's words are the formats that there are.
		_ = a.log.SetFormat(logging.Format(p.cfg.Interface.LogFormat.String()))
	}
	special := remoteLogs(p.cfg)
	a.log.SetRemotes(special, debuggedPeers(p.compiled, special))
}

// remoteLogs are the remotes with logmode debug or a logfile.
func remoteLogs(cfg *config.Config) map[string]logging.Remote {
	out := make(map[string]logging.Remote)
	for _, r := range remotes(cfg) {
		if r.Disabled {
			continue
		}
		for _, c := range commons(r) {
			if c.LogMode != config.LogDebug && c.LogFile == "" {
				continue
			}
			level := trace.Info
			if c.LogMode == config.LogDebug {
				level = trace.Debug
			}
			out[r.Name] = logging.Remote{Level: level, File: c.LogFile}
			break
		}
	}
	return out
}

// logFile checks logfile as far as that is possible without making the file.
func (c *compiler) logFile(k *config.Common) {
	switch dir, err := os.Stat(filepath.Dir(k.LogFile)); {
	case k.LogFile == "":
	case !filepath.IsAbs(k.LogFile):
		c.find(config.Error, k.LogPos, "log-file", "write the whole path", "logfile %q is not an absolute path", k.LogFile)
	case err != nil || !dir.IsDir():
		c.find(config.Warning, k.LogPos, "log-file", "", "logfile %s cannot be written: there is no folder %s", k.LogFile, filepath.Dir(k.LogFile))
	}
}

// commons are a remote's settings for the protocols that it may speak.
func commons(r *config.Remote) (list []*config.Common) {
	if r.IKEv2 != nil {
		list = append(list, &r.IKEv2.Common)
	}
	if r.KINK != nil {
		list = append(list, &r.KINK.Common)
	}
	return list
}

// debuggedPeers are the addresses of the remotes with logmode debug, by which
// their packets are known.
func debuggedPeers(c *Compiled, special map[string]logging.Remote) map[netip.Addr]string {
	peers := make(map[netip.Addr]string)
	for _, r := range c.IKEv2.Remotes {
		if one, ok := special[r.Name]; !ok || one.Level != trace.Debug {
			continue
		}
		for _, p := range r.Peers {
			peers[p.Addr().Unmap()] = r.Name
		}
	}
	return peers
}

// lastWords is deferred in the agent's own goroutines: a panic outside of a core
// or a job ends the process, as it must, but not before the log has it.
func lastWords(log *slog.Logger) {
	value := recover()
	if value == nil {
		return
	}
	log.Log(context.Background(), logging.LevelCritical, "the agent failed inside; policies stay so that nothing goes out in clear",
		"panic", fmt.Sprint(value), "stack", string(debug.Stack()))
	panic(value)
}
