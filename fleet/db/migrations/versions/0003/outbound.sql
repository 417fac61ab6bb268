-- Out to others: where facts are sent to, how far each has been told, and what became of every delivery.
-- The outbox is `events` itself, written with the fact; jobs run on procrastinate, see jobs.sql.

CREATE TABLE outlets (
    outlet_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('webhook', 'mail', 'connector')),
    organisation_id integer REFERENCES organisations,
    description text NOT NULL DEFAULT '',
    events text[] NOT NULL CHECK (cardinality(events) BETWEEN 1 AND 50),
    url text,
    address text,
    user_id bigint REFERENCES users,
    options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
    secret bytea,
    previous_secret bytea,
    previous_until timestamptz,
    inbound_secret bytea,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'disabled')),
    disabled_reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text,
    revision integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (CASE kind WHEN 'mail' THEN address IS NOT NULL AND url IS NULL
           ELSE url IS NOT NULL AND address IS NULL AND secret IS NOT NULL END),
    CHECK ((state = 'disabled') = (disabled_reason IS NOT NULL))
);
COMMENT ON TABLE outlets IS 'Where facts are sent to: webhooks, mail subscriptions, connectors to ticket systems of others.';
COMMENT ON COLUMN outlets.organisation_id IS 'What is sent is what somebody placed there sees; null is the whole installation. Never changes.';
COMMENT ON COLUMN outlets.events IS 'Types of facts: request.opened, alert.*, *.';
COMMENT ON COLUMN outlets.secret IS 'Encrypted with a key made of FLEET_SECRET_KEY: what signs a webhook, or the token for the other system.';
COMMENT ON COLUMN outlets.previous_secret IS 'Signs as well until previous_until.';
CREATE INDEX outlets_by_organisation ON outlets (organisation_id);
CREATE INDEX outlets_by_user ON outlets (user_id) WHERE user_id IS NOT NULL;
CALL guard_by_organisation('outlets');
CALL audited('outlets', 'secret', 'previous_secret', 'inbound_secret');
-- The API writes secrets and never reads one.
REVOKE SELECT ON outlets FROM fleet_api;
GRANT SELECT (outlet_id, kind, organisation_id, description, events, url, address, user_id, options, previous_until, state,
              disabled_reason, created_at, created_by, revision, updated_at) ON outlets TO fleet_api;
REVOKE ALL ON outlets FROM fleet_ingest;

CREATE TABLE outlet_queues (
    outlet_id bigint PRIMARY KEY REFERENCES outlets ON DELETE CASCADE,
    organisation_id integer REFERENCES organisations,
    tx xid8 NOT NULL,
    event_id bigint NOT NULL,
    next_at timestamptz,
    hurry boolean NOT NULL DEFAULT false,
    failing_since timestamptz,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    last_success_at timestamptz,
    overflowed bigint NOT NULL DEFAULT 0,
    hour_began timestamptz,
    sent_in_hour integer NOT NULL DEFAULT 0,
    polled_until timestamptz,
    polled_at timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE outlet_queues IS 'How far each outlet has read the events, in their order (tx, event_id), and how it fares.';
COMMENT ON COLUMN outlet_queues.next_at IS 'Not before then, by its own wish: a digest, quiet hours. Null is at once.';
COMMENT ON COLUMN outlet_queues.hurry IS 'Somebody asked for it now, whatever it waits for.';
COMMENT ON COLUMN outlet_queues.overflowed IS 'Deliveries given up because more waited than may.';
CALL guard_by_organisation('outlet_queues');
REVOKE INSERT, DELETE, UPDATE ON outlet_queues FROM fleet_api;
GRANT UPDATE (hurry) ON outlet_queues TO fleet_api;

CREATE TABLE deliveries (
    delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outlet_id bigint NOT NULL REFERENCES outlets ON DELETE CASCADE,
    organisation_id integer,
    message_id text NOT NULL,
    type text NOT NULL,
    kit text,
    payload jsonb NOT NULL,
    ahead boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    queued_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    attempts integer NOT NULL DEFAULT 0,
    attempted_at timestamptz,
    ended_at timestamptz,
    status integer,
    error text,
    UNIQUE (outlet_id, message_id),
    CHECK ((state = 'pending') = (ended_at IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE deliveries IS 'One fact for one outlet: waits, was taken, or was given up (dead).';
COMMENT ON COLUMN deliveries.message_id IS 'The same at every attempt: the receiver knows a repeat by it.';
COMMENT ON COLUMN deliveries.expires_at IS 'Until then it is tried.';
CREATE INDEX deliveries_pending ON deliveries (outlet_id, ahead DESC, delivery_id) WHERE state = 'pending';
CREATE INDEX deliveries_by_outlet ON deliveries (outlet_id, delivery_id);
CREATE INDEX deliveries_dead ON deliveries (outlet_id, delivery_id) WHERE state = 'dead';
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE state <> 'pending';
CALL guard_by_organisation('deliveries');
REVOKE DELETE, UPDATE ON deliveries FROM fleet_api;
GRANT UPDATE (state, ended_at, expires_at, attempts, error, status) ON deliveries TO fleet_api;

-- Whose a delivery is, is whose its outlet is, whoever asked for it.
CREATE FUNCTION stamp_delivery() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    NEW.organisation_id := (SELECT o.organisation_id FROM outlets o WHERE o.outlet_id = NEW.outlet_id);
    RETURN NEW;
END
$$;
CREATE TRIGGER stamp_delivery BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION stamp_delivery();

-- An outlet hears of what happens from its making on; one that was disabled, from its new beginning on.
CREATE FUNCTION open_outlet() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO outlet_queues AS q (outlet_id, organisation_id, tx, event_id)
    VALUES (NEW.outlet_id, NEW.organisation_id, pg_current_xact_id(), 9223372036854775807)
    ON CONFLICT (outlet_id) DO UPDATE SET
        tx = CASE WHEN OLD.state = 'disabled' THEN excluded.tx ELSE q.tx END,
        event_id = CASE WHEN OLD.state = 'disabled' THEN excluded.event_id ELSE q.event_id END,
        failing_since = NULL, failures = 0, hurry = true;
    RETURN NULL;
END
$$;
CREATE TRIGGER open_queue AFTER INSERT ON outlets FOR EACH ROW EXECUTE FUNCTION open_outlet();
CREATE TRIGGER reopen_queue AFTER UPDATE OF state ON outlets FOR EACH ROW
    WHEN (NEW.state = 'active' AND OLD.state <> 'active') EXECUTE FUNCTION open_outlet();

-- While a secret is replaced both sign.
CREATE FUNCTION keep_previous_secret() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.previous_secret := OLD.secret;
    NEW.previous_until := now() + interval '24 hours';
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_previous_secret BEFORE UPDATE OF secret ON outlets FOR EACH ROW
    WHEN (NEW.kind = 'webhook' AND NEW.secret IS DISTINCT FROM OLD.secret) EXECUTE FUNCTION keep_previous_secret();

CREATE FUNCTION matches_event(type text, patterns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN EXISTS (
    SELECT FROM unnest(patterns) p
    WHERE p IN ('*', type) OR (right(p, 2) = '.*' AND starts_with(type, left(p, -1))));
COMMENT ON FUNCTION matches_event IS 'Whether a type of event is meant by one of the patterns: itself, `thing.*`, `*`.';

-- The worker knows of an account no more than whether it still counts.
CREATE FUNCTION is_disabled(account bigint) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
RETURN EXISTS (SELECT FROM users u WHERE u.user_id = account AND u.disabled_at IS NOT NULL);
REVOKE EXECUTE ON FUNCTION is_disabled FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_disabled TO fleet_worker;

-- For callers that prove themselves otherwise than by a login: the other side of a connector by its signature, whoever
-- gets mail by the link in it. The API checks either before it does anything.
CREATE FUNCTION inbound_secret_of(outlet bigint) RETURNS bytea LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
RETURN (SELECT o.inbound_secret FROM outlets o
        WHERE o.outlet_id = outlet AND o.kind = 'connector' AND o.state = 'active');
CREATE FUNCTION hurry_connector(outlet bigint) RETURNS void LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE outlet_queues SET hurry = true, polled_at = NULL WHERE outlet_id = outlet
$$;
CREATE FUNCTION end_subscription(outlet bigint) RETURNS boolean LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH gone AS (DELETE FROM outlets WHERE outlet_id = outlet AND kind = 'mail' RETURNING 1)
    SELECT count(*) > 0 FROM gone
$$;
REVOKE EXECUTE ON FUNCTION inbound_secret_of, hurry_connector, end_subscription FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inbound_secret_of, hurry_connector, end_subscription TO fleet_api;

-- Tickets of others that stand for requests of ours.
CREATE TABLE connector_tickets (
    outlet_id bigint NOT NULL REFERENCES outlets ON DELETE CASCADE,
    request_id bigint NOT NULL REFERENCES service_requests ON DELETE CASCADE,
    organisation_id integer,
    ticket text NOT NULL,
    number text NOT NULL,
    remote_state text NOT NULL,
    priority text NOT NULL DEFAULT '',
    article_seen bigint NOT NULL DEFAULT 0,
    event_sent bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (outlet_id, request_id),
    UNIQUE (outlet_id, ticket)
);
COMMENT ON COLUMN connector_tickets.priority IS 'The priority of ours that the ticket was last given.';
COMMENT ON TABLE connector_tickets IS 'Which ticket elsewhere stands for which request, and how far both sides know of each other.';
CREATE INDEX connector_tickets_by_request ON connector_tickets (request_id);
CREATE TRIGGER stamp_ticket BEFORE INSERT ON connector_tickets FOR EACH ROW EXECUTE FUNCTION stamp_delivery();
CALL guard_by_organisation('connector_tickets');
REVOKE INSERT, UPDATE, DELETE ON connector_tickets FROM fleet_api;
CALL audited_for_people('connector_tickets');

INSERT INTO retention_policies (kind, keep_days, default_days, min_days, max_days) VALUES ('deliveries', 30, 30, 1, 400);
