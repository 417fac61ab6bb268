-- Who may call: tokens, kept as hashes only.

CREATE TABLE tokens (
    token_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN (
        'support', 'service', 'mdm_admin', 'logistics', 'secretariat', 'auditor', 'admin', 'grafana')),
    secret_hash bytea NOT NULL UNIQUE,
    hint text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
COMMENT ON COLUMN tokens.hint IS 'The last four characters, to tell tokens apart.';

-- Answers to POST requests that carried an Idempotency-Key, so that a repeat gets the first answer.
CREATE TABLE idempotency_keys (
    token_id bigint NOT NULL REFERENCES tokens,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer NOT NULL,
    body json,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_id, key)
);
