package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"racoon2/agent"
	"racoon2/agent/logging"
)

func (a *app) runCommand() *cobra.Command {
	var kernel, level, format, file, keys string
	var dumps bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent in the foreground",
		Long: "Run the agent in the foreground until SIGTERM or SIGINT. It then tells its peers,\n" +
			"and takes its SAs and policies out of the kernel. SIGHUP reads the configuration\n" +
			"again: one with errors changes nothing, and what did not change is not touched.\n" +
			"SIGUSR1 logs more, SIGUSR2 less.\n\n" +
			"Once started it gives up the privileges that it does not need any more; with scripts\n" +
			"in the configuration these can get back those of the agent's user.\n\n" +
			"After a crash, what the policies protect stays blocked until the next start.\n\n" +
			"--keylog is for debugging alone. It appends the keys of IKE and ESP SAs to a file of\n" +
			"mode 0600, as rows for Wireshark's ikev2_decryption_table and esp_sa.",
		Example: "  racoon2 run -c /etc/racoon2/racoon2.conf\n" +
			"  racoon2 run --kernel userspace --log-file syslog\n" +
			"  racoon2 run --log-level debug --log-format json --log-file /var/log/racoon2",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			lowest, err := logging.ParseLevel(level)
			if err != nil {
				return err
			}
			switch kernel {
			case "", "auto", "xfrm", "pfkey", "userspace":
			default:
				return errors.New("--kernel is auto, xfrm or userspace")
			}
			switch logging.Format(format) {
			case "", logging.Text, logging.JSON:
			default:
				return errors.New("--log-format is text or json")
			}
			log, err := logging.Open(logging.Options{Level: lowest, Format: logging.Format(format), Destination: file})
			if err != nil {
				return failed(err)
			}
			defer log.Close()
			err = agent.Run(agent.Options{Config: a.config, RunDir: a.runDir, Kernel: kernel, Log: log, LogFormat: logging.Format(format), KeyLog: keys, CoreDumps: dumps})
			return asFailure(err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kernel, "kernel", "", "what carries IPsec: `auto`, xfrm or userspace (default: as the configuration says)")
	f.StringVar(&level, "log-level", "info", "lowest `LEVEL` logged: debug, info, warning, error")
	f.StringVar(&format, "log-format", "", "`text` or json (default: as the configuration says)")
	f.StringVar(&file, "log-file", logging.Stderr, "`FILE` to log to, or stderr, or syslog")
	f.BoolVar(&dumps, "core-dumps", false, "leave core dumps and debuggers as they are: they show keys")
	f.StringVar(&keys, "keylog", "", "`FILE` for the keys of all SAs, for Wireshark: whoever reads it reads all traffic")
	return cmd
}

// asFailure tells configuration errors from others.
func asFailure(err error) error {
	if c := (*agent.ConfigError)(nil); errors.As(err, &c) {
		return &failure{statusUsage, err}
	}
	return failed(err)
}
