-- Commands to tablets: asked for through the API, sent by the leading worker, answered by the tablet.

CREATE TABLE commands (
    command_id text COLLATE "C" PRIMARY KEY CHECK (command_id ~ '^[A-Za-z0-9_.:-]{1,64}$'),
    kit_id integer NOT NULL REFERENCES kits,
    organisation_id integer REFERENCES organisations,
    name text COLLATE "C" NOT NULL CHECK (name IN ('ping', 'diagnostics', 'locate', 'reboot', 'repair_pairing')),
    arguments jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(arguments) = 'object' AND pg_column_size(arguments) <= 8192),
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'replied', 'failed', 'expired')),
    delivery text COLLATE "C" CHECK (delivery IN ('taken', 'no_subscriber', 'refused')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempted_at timestamptz,
    sent_at timestamptz,
    replied_at timestamptz,
    reply_status text COLLATE "C" CHECK (reply_status IN ('ok', 'error')),
    result jsonb,
    CHECK (expires_at > requested_at),
    CHECK ((state IN ('pending', 'sent')) = (next_attempt_at < 'infinity'))
);
COMMENT ON TABLE commands IS 'What tablets were asked to do, and what they answered.';
COMMENT ON COLUMN commands.command_id IS 'The last level of its topic, by which the tablet knows a repeat.';
COMMENT ON COLUMN commands.delivery IS
    'What the broker said to the last attempt: taken, for nobody who listens, or refused. Not whether the tablet has it.';
COMMENT ON COLUMN commands.sent_at IS 'When the broker first took it.';
COMMENT ON COLUMN commands.next_attempt_at IS 'When it is due to be sent (again); infinity once it has ended.';
CREATE INDEX commands_by_kit ON commands (kit_id, requested_at, command_id);
CREATE INDEX commands_open ON commands (next_attempt_at) WHERE state IN ('pending', 'sent');
CREATE INDEX commands_by_expiry ON commands (expires_at) WHERE state IN ('pending', 'sent');
CREATE INDEX commands_by_age ON commands (requested_at);

-- Of whom the kit was when it was asked for: what is over stays with them.
CREATE TRIGGER stamp_organisation BEFORE INSERT ON commands FOR EACH ROW EXECUTE FUNCTION stamp_organisation();
CALL guard_by_organisation('commands');
REVOKE UPDATE, DELETE ON commands FROM fleet_api;
-- Ingest writes down what a tablet answers.
GRANT UPDATE (state, next_attempt_at, replied_at, reply_status, result) ON commands TO fleet_ingest;

-- Who asked for what is audited; what becomes of it is the machine's doing and stands in the row.
CALL audited('commands');
DROP TRIGGER audit_update ON commands;
DROP TRIGGER audit_delete ON commands;
