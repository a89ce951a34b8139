"""The tables of a log: the eventsourcing library's own, ours beside them, and the one function that writes."""

import re
from typing import Final

__all__ = ["log_migrations", "shared_migrations"]

# SQLSTATEs by which the writing function names a violation to itself; the unit's diagnosis follows.
_VIOLATION: Final = "EM001"
FENCED: Final = "EM002"
"""SQLSTATE: the writer's connection was replaced by a newer one."""

_SHARED: Final = """
-- The library's type for the rows that it inserts.
CREATE TYPE public.stored_event_uuid AS
    (originator_id uuid, originator_version bigint, topic text, state bytea);
CREATE TABLE emporium_logs (
    name text PRIMARY KEY,
    incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
    lock bigint NOT NULL UNIQUE
);
CREATE TABLE emporium_leases (
    name text PRIMARY KEY,
    owner text,
    epoch bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE TABLE emporium_event_schemas (topic text PRIMARY KEY, version bigint NOT NULL);
CREATE TABLE emporium_writers (
    id uuid PRIMARY KEY,
    log text NOT NULL,
    generation bigint NOT NULL,
    batch bigint NOT NULL,
    outcomes jsonb,
    used_at timestamptz NOT NULL
) WITH (fillfactor = 50);
"""

_LOG: Final = """
CREATE TABLE public.${log}_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    notification_id bigserial,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_enabled = true, autovacuum_vacuum_threshold = 100000000, autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000, autovacuum_analyze_scale_factor = 0.01
);
CREATE UNIQUE INDEX ${log}_events_notification_id_idx ON public.${log}_events (notification_id ASC);
CREATE INDEX ${log}_events_correlation_idx ON public.${log}_events (substring(state, 17, 15));

CREATE TABLE public.${log}_snapshots (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    PRIMARY KEY (originator_id, originator_version)
);

CREATE TABLE public.${log}_tracking (
    application_name text,
    notification_id bigint,
    epoch bigint NOT NULL DEFAULT 0,
    incarnation uuid,
    PRIMARY KEY (application_name)
) WITH (fillfactor = 50);
-- The library takes a tracking table without this row for an older layout of its own and replaces it.
INSERT INTO public.${log}_tracking (application_name, notification_id) VALUES ('__migration__', 1);

-- The id is a digest of scope and key, which makes a small index. The last event is named by stream and version,
-- for its position is not known yet when the record is written.
CREATE TABLE public.${log}_idempotency (
    id uuid PRIMARY KEY,
    scope text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    answer bytea NOT NULL,
    stream uuid,
    version bigint,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE public.${log}_claims (
    scope text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    owner uuid NOT NULL,
    PRIMARY KEY (scope, value)
);
CREATE TABLE public.${log}_counters (name text COLLATE "C" PRIMARY KEY, value bigint NOT NULL);
CREATE TABLE public.${log}_tasks (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    due timestamptz NOT NULL,
    stream uuid NOT NULL,
    data jsonb NOT NULL,
    cause jsonb NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    error text,
    parked boolean NOT NULL DEFAULT false
);
CREATE INDEX ${log}_tasks_due_idx ON public.${log}_tasks (due) WHERE NOT parked;

CREATE VIEW public.${log}_log AS
SELECT e.notification_id AS position, e.originator_id AS stream, e.originator_version AS version, e.topic,
       (p.payload ->> 'at')::timestamptz AS at, (p.payload ->> 'schema')::bigint AS schema,
       (p.payload ->> 'id')::uuid AS id, p.payload ->> 'correlation' AS correlation,
       p.payload ->> 'causation' AS causation, p.payload ->> 'actor' AS actor, p.payload ->> 'request' AS request,
       p.payload -> 'data' AS data, p.payload, e.state
FROM public.${log}_events e
CROSS JOIN LATERAL (SELECT convert_from(e.state, 'UTF8')::jsonb AS payload OFFSET 0) p;

INSERT INTO emporium_logs (name, lock) VALUES ('${log}', ${lock});

-- A new connection of a writer: its earlier one can commit nothing from here on, and what that one had under way is
-- committed or rolled back when this returns, for the two meet at the writer's row.
CREATE FUNCTION public.emporium_enter_${log}(p_writer uuid)
RETURNS TABLE (generation bigint, batch bigint, outcomes jsonb, incarnation uuid)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
    current uuid := (SELECT l.incarnation FROM emporium_logs l WHERE l.name = '${log}' FOR SHARE);
BEGIN
    DELETE FROM emporium_writers w WHERE w.id IN (
        SELECT o.id FROM emporium_writers o WHERE o.used_at < now() - interval '7 days' AND o.id <> p_writer
        FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    INSERT INTO emporium_writers AS w (id, log, generation, batch, used_at) VALUES (p_writer, '${log}', 1, 0, now())
    ON CONFLICT (id) DO UPDATE SET generation = w.generation + 1, used_at = now()
    RETURNING w.generation, w.batch, w.outcomes, current;
END $body$;

-- Writes the units lo..hi of a batch or raises; returns the position of their first event, if any.
CREATE FUNCTION public.emporium_write_${log}(
    lo bigint, hi bigint,
    starts bigint[], streams uuid[], versions bigint[], topics text[], states bytea[],
    after_units bigint[], after_streams uuid[], after_versions bigint[], rest jsonb
) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
    a bigint := starts[lo];
    b bigint := starts[hi + 1] - 1;
    first_position bigint;
    last_position bigint;
BEGIN
    IF b >= a THEN
        WITH inserted AS (
            INSERT INTO public.${log}_events (originator_id, originator_version, topic, state)
            SELECT * FROM unnest(streams[a:b], versions[a:b], topics[a:b], states[a:b])
            RETURNING notification_id
        ) SELECT min(notification_id), max(notification_id) INTO first_position, last_position FROM inserted;
        IF last_position - first_position <> b - a THEN
            RAISE EXCEPTION 'positions are not contiguous';
        END IF;
        IF cardinality(after_units) > 0 AND EXISTS (
            SELECT FROM unnest(after_units, after_streams, after_versions) AS x (unit, stream, version)
            WHERE x.unit BETWEEN lo AND hi AND NOT EXISTS (
                SELECT FROM public.${log}_events e
                WHERE e.originator_id = x.stream AND e.originator_version = x.version)
        ) THEN
            RAISE EXCEPTION 'a stream is not that long' USING ERRCODE = '${violation}';
        END IF;
    END IF;
    IF rest IS NOT NULL THEN
        PERFORM public.emporium_write_rest_${log}(lo, hi, rest);
    END IF;
    RETURN first_position;
END $body$;

CREATE FUNCTION public.emporium_write_rest_${log}(lo bigint, hi bigint, rest jsonb) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    wanted bigint;
    done bigint;
    added bigint := 0;
BEGIN
    IF rest ? 'expect' AND EXISTS (
        SELECT FROM jsonb_to_recordset(rest -> 'expect') AS x (unit bigint, stream uuid, version bigint)
        WHERE x.unit BETWEEN lo AND hi AND (
            EXISTS (SELECT FROM public.${log}_events e
                    WHERE e.originator_id = x.stream AND e.originator_version = x.version + 1)
            OR x.version > 0 AND NOT EXISTS (SELECT FROM public.${log}_events e
                    WHERE e.originator_id = x.stream AND e.originator_version = x.version))
    ) THEN
        RAISE EXCEPTION 'a stream that was read has moved on' USING ERRCODE = '${violation}';
    END IF;
    IF rest ? 'tracking' THEN
        SELECT count(*) INTO wanted FROM jsonb_to_recordset(rest -> 'tracking') AS x (unit bigint)
        WHERE x.unit BETWEEN lo AND hi;
        UPDATE public.${log}_tracking t SET notification_id = x.new, incarnation = x.incarnation
        FROM jsonb_to_recordset(rest -> 'tracking')
            AS x (unit bigint, name text, old bigint, new bigint, epoch bigint, incarnation uuid)
        WHERE x.unit BETWEEN lo AND hi AND t.application_name = x.name AND t.notification_id = x.old
            AND t.epoch = x.epoch AND coalesce(t.incarnation, x.incarnation) = x.incarnation;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> wanted THEN
            -- A follower's first step: its row is made by whoever has the lease now.
            INSERT INTO public.${log}_tracking (application_name, notification_id, epoch, incarnation)
            SELECT x.name, x.new, x.epoch, x.incarnation
            FROM jsonb_to_recordset(rest -> 'tracking')
                AS x (unit bigint, name text, old bigint, new bigint, epoch bigint, incarnation uuid)
            JOIN emporium_leases l ON l.name = '${log}/' || split_part(x.name, ':', 1) AND l.epoch = x.epoch
            WHERE x.unit BETWEEN lo AND hi AND x.old = 0
            ON CONFLICT (application_name) DO NOTHING;
            GET DIAGNOSTICS added = ROW_COUNT;
        END IF;
        IF done + added <> wanted THEN
            RAISE EXCEPTION 'tracking was superseded' USING ERRCODE = '${violation}';
        END IF;
    END IF;
    IF rest ? 'done' THEN
        SELECT count(*) INTO wanted FROM jsonb_to_recordset(rest -> 'done') AS x (unit bigint)
        WHERE x.unit BETWEEN lo AND hi;
        DELETE FROM public.${log}_tasks t USING jsonb_to_recordset(rest -> 'done') AS x (unit bigint, id uuid)
        WHERE x.unit BETWEEN lo AND hi AND t.id = x.id;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> wanted THEN
            RAISE EXCEPTION 'a task has its outcome' USING ERRCODE = '${violation}';
        END IF;
    END IF;
    IF rest ? 'updates' THEN
        SELECT count(*) INTO wanted FROM jsonb_to_recordset(rest -> 'updates') AS x (unit bigint)
        WHERE x.unit BETWEEN lo AND hi;
        UPDATE public.${log}_tasks t SET due = x.due, attempts = x.attempts, error = x.error, parked = x.parked
        FROM jsonb_to_recordset(rest -> 'updates')
            AS x (unit bigint, id uuid, due timestamptz, attempts bigint, error text, parked boolean)
        WHERE x.unit BETWEEN lo AND hi AND t.id = x.id;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> wanted THEN
            RAISE EXCEPTION 'a task has its outcome' USING ERRCODE = '${violation}';
        END IF;
    END IF;
    IF rest ? 'tasks' THEN
        INSERT INTO public.${log}_tasks (id, kind, due, stream, data, cause, attempts, error, parked)
        SELECT x.id, x.kind, x.due, x.stream, x.data, x.cause, x.attempts, x.error, x.parked
        FROM jsonb_to_recordset(rest -> 'tasks') AS x (unit bigint, id uuid, kind text, due timestamptz, stream uuid,
            data jsonb, cause jsonb, attempts bigint, error text, parked boolean)
        WHERE x.unit BETWEEN lo AND hi
        ON CONFLICT (id) DO NOTHING;
    END IF;
    IF rest ? 'claims' THEN
        DELETE FROM public.${log}_claims c
        USING jsonb_to_recordset(rest -> 'claims')
            AS x (unit bigint, scope text, value text, owner uuid, release boolean)
        WHERE x.unit BETWEEN lo AND hi AND x.release
            AND c.scope = x.scope AND c.value = decode(x.value, 'hex') AND c.owner = x.owner;
        INSERT INTO public.${log}_claims (scope, value, owner)
        SELECT x.scope, decode(x.value, 'hex'), x.owner
        FROM jsonb_to_recordset(rest -> 'claims')
            AS x (unit bigint, scope text, value text, owner uuid, release boolean)
        WHERE x.unit BETWEEN lo AND hi AND NOT x.release
        ON CONFLICT (scope, value) DO NOTHING;
        IF EXISTS (
            SELECT FROM jsonb_to_recordset(rest -> 'claims')
                AS x (unit bigint, scope text, value text, owner uuid, release boolean)
            JOIN public.${log}_claims c ON c.scope = x.scope AND c.value = decode(x.value, 'hex')
            WHERE x.unit BETWEEN lo AND hi AND NOT x.release AND c.owner <> x.owner
        ) THEN
            RAISE EXCEPTION 'a claim is taken' USING ERRCODE = '${violation}';
        END IF;
    END IF;
    IF rest ? 'counters' THEN
        INSERT INTO public.${log}_counters AS c (name, value)
        SELECT x.name, x.by FROM jsonb_to_recordset(rest -> 'counters') AS x (unit bigint, name text, by bigint)
        WHERE x.unit BETWEEN lo AND hi
        ON CONFLICT (name) DO UPDATE SET value = c.value + excluded.value;
        IF EXISTS (
            SELECT FROM jsonb_to_recordset(rest -> 'counters') AS x (unit bigint, name text, "limit" bigint)
            JOIN public.${log}_counters c ON c.name = x.name
            WHERE x.unit BETWEEN lo AND hi AND NOT c.value BETWEEN 0 AND x."limit"
        ) THEN
            RAISE EXCEPTION 'a limit is reached' USING ERRCODE = '${violation}';
        END IF;
    END IF;
END $body$;

-- Why a single unit was refused, as the caller is told; NULL where nothing explains it.
CREATE FUNCTION public.emporium_diagnose_${log}(
    n bigint, starts bigint[], streams uuid[], versions bigint[], rest jsonb
) RETURNS jsonb
LANGUAGE plpgsql AS $body$
DECLARE
    found jsonb;
BEGIN
    IF EXISTS (
        SELECT FROM jsonb_to_recordset(rest -> 'tracking')
            AS x (unit bigint, name text, old bigint, epoch bigint, incarnation uuid)
        WHERE x.unit = n AND NOT EXISTS (
            SELECT FROM public.${log}_tracking t
            WHERE t.application_name = x.name AND t.notification_id = x.old AND t.epoch = x.epoch
                AND coalesce(t.incarnation, x.incarnation) = x.incarnation
        ) AND NOT (
            x.old = 0 AND NOT EXISTS (SELECT FROM public.${log}_tracking t WHERE t.application_name = x.name)
            AND EXISTS (SELECT FROM emporium_leases l
                        WHERE l.name = '${log}/' || split_part(x.name, ':', 1) AND l.epoch = x.epoch)
        )
    ) OR EXISTS (
        SELECT FROM (
            SELECT d.unit, d.id FROM jsonb_to_recordset(rest -> 'done') AS d (unit bigint, id uuid)
            UNION ALL
            SELECT u.unit, u.id FROM jsonb_to_recordset(rest -> 'updates') AS u (unit bigint, id uuid)
        ) AS x
        WHERE x.unit = n AND NOT EXISTS (SELECT FROM public.${log}_tasks t WHERE t.id = x.id)
    ) THEN
        RETURN '{"superseded": true}';
    END IF;
    SELECT jsonb_build_object('conflict', jsonb_agg(x.stream)) INTO found
    FROM (
        SELECT s.stream, min(s.version) - 1 AS version
        FROM unnest(streams[starts[n]:starts[n + 1] - 1], versions[starts[n]:starts[n + 1] - 1]) AS s (stream, version)
        GROUP BY s.stream
        UNION ALL
        SELECT e.stream, e.version
        FROM jsonb_to_recordset(rest -> 'expect') AS e (unit bigint, stream uuid, version bigint) WHERE e.unit = n
    ) AS x
    WHERE x.version <> coalesce((
        SELECT e.originator_version FROM public.${log}_events e WHERE e.originator_id = x.stream
        ORDER BY e.originator_version DESC LIMIT 1), 0)
    HAVING count(*) > 0;
    IF found IS NOT NULL THEN
        RETURN found;
    END IF;
    SELECT jsonb_build_object('taken', jsonb_build_array(x.scope, c.owner)) INTO found
    FROM jsonb_to_recordset(rest -> 'claims') AS x (unit bigint, scope text, value text, owner uuid, release boolean)
    JOIN public.${log}_claims c ON c.scope = x.scope AND c.value = decode(x.value, 'hex')
    WHERE x.unit = n AND NOT x.release AND c.owner <> x.owner LIMIT 1;
    IF found IS NOT NULL THEN
        RETURN found;
    END IF;
    SELECT jsonb_build_object('limit', x.name) INTO found
    FROM jsonb_to_recordset(rest -> 'counters') AS x (unit bigint, name text, by bigint, "limit" bigint)
    LEFT JOIN public.${log}_counters c ON c.name = x.name
    WHERE x.unit = n AND NOT coalesce(c.value, 0) + x.by BETWEEN 0 AND x."limit" LIMIT 1;
    RETURN found;
END $body$;

-- Commits a batch of units that touch nothing in common. All at once where possible; after a violation each half
-- alone, down to the units that are refused. What needs no order is done before the log's lock is taken.
CREATE FUNCTION public.emporium_append_${log}(
    p_writer uuid, p_generation bigint, p_batch bigint, units bigint,
    starts bigint[], streams uuid[], versions bigint[], topics text[], states bytea[],
    after_units bigint[], after_streams uuid[], after_versions bigint[],
    idem_units bigint[], idem_ids uuid[], idem_scopes text[], idem_keys text[],
    idem_hashes bytea[], idem_answers bytea[],
    rest jsonb,
    OUT first bigint, OUT outcomes jsonb
)
LANGUAGE plpgsql
-- The tables only grow: a plan that was made while they were small must not read them whole.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off
AS $body$
DECLARE
    los bigint[] := ARRAY[1];
    his bigint[] := ARRAY[units];
    lo bigint;
    hi bigint;
    placed bigint;
    recorded bigint;
    replays jsonb[] := '{}';
    results jsonb[] := '{}';
    diagnosis jsonb;
    refused boolean := false;
    state text;
    message text;
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        -- What is acknowledged is on the disk, whatever the database's default.
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- In the writer's row the outcome can be learnt after a lost connection.
    UPDATE emporium_writers w SET batch = p_batch, outcomes = NULL, used_at = now()
    WHERE w.id = p_writer AND w.generation = p_generation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this connection was replaced' USING ERRCODE = '${fenced}';
    END IF;
    IF cardinality(idem_units) > 0 THEN
        -- A record that another process has under way is waited for here, in order of the ids and without the
        -- log's lock, so that nobody waits in a circle.
        INSERT INTO public.${log}_idempotency (id, scope, key, body_hash, answer, stream, version)
        SELECT x.id, x.scope, x.key, x.hash, x.answer,
               CASE WHEN starts[x.unit + 1] > starts[x.unit] THEN streams[starts[x.unit + 1] - 1] END,
               CASE WHEN starts[x.unit + 1] > starts[x.unit] THEN versions[starts[x.unit + 1] - 1] END
        FROM unnest(idem_units, idem_ids, idem_scopes, idem_keys, idem_hashes, idem_answers)
            AS x (unit, id, scope, key, hash, answer)
        ORDER BY x.id
        ON CONFLICT (id) DO NOTHING;
        GET DIAGNOSTICS recorded = ROW_COUNT;
        IF recorded < cardinality(idem_units) THEN
            SELECT array_agg(jsonb_build_array(x.unit,
                       encode(i.body_hash, 'hex'), encode(i.answer, 'hex'), coalesce(e.notification_id, 0)))
            INTO replays
            FROM unnest(idem_units, idem_ids) AS x (unit, id)
            JOIN public.${log}_idempotency i ON i.id = x.id AND i.xmin <> pg_current_xact_id()::xid
            LEFT JOIN public.${log}_events e ON e.originator_id = i.stream AND e.originator_version = i.version;
            FOREACH diagnosis IN ARRAY replays LOOP
                results[(diagnosis ->> 0)::bigint] := jsonb_build_object('replay', diagnosis - 0);
            END LOOP;
            refused := true;
            SELECT array_agg(u ORDER BY u DESC) INTO los FROM generate_series(1, units) u WHERE results[u] IS NULL;
            los := coalesce(los, '{}');
            his := los;
        END IF;
    END IF;
    PERFORM pg_advisory_xact_lock(${lock});
    WHILE cardinality(los) > 0 LOOP
        lo := los[cardinality(los)];
        hi := his[cardinality(his)];
        los := trim_array(los, 1);
        his := trim_array(his, 1);
        BEGIN
            placed := public.emporium_write_${log}(lo, hi, starts, streams, versions, topics, states,
                after_units, after_streams, after_versions, rest);
            first := coalesce(first, placed);
            IF refused THEN
                FOR unit IN lo..hi LOOP
                    results[unit] := jsonb_build_object('ok', CASE WHEN starts[unit + 1] = starts[unit] THEN 0
                        ELSE placed + starts[unit + 1] - 1 - starts[lo] END);
                END LOOP;
            END IF;
        EXCEPTION WHEN integrity_constraint_violation OR data_exception OR SQLSTATE '${violation}' THEN
            refused := true;
            IF lo < hi THEN
                los := los || ARRAY[(lo + hi) / 2 + 1, lo];
                his := his || ARRAY[hi, (lo + hi) / 2];
            ELSE
                GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
                DELETE FROM public.${log}_idempotency i USING unnest(idem_units, idem_ids) AS x (unit, id)
                WHERE x.unit = lo AND i.id = x.id;
                diagnosis := public.emporium_diagnose_${log}(lo, starts, streams, versions, rest);
                results[lo] := coalesce(diagnosis, jsonb_build_object('error', jsonb_build_array(state, message)));
            END IF;
        END;
    END LOOP;
    IF refused THEN
        outcomes := to_jsonb(results);
        UPDATE emporium_writers w SET outcomes = emporium_append_${log}.outcomes WHERE w.id = p_writer;
    END IF;
END $body$;
"""

_HELD_UP: Final = """
-- Since when a task waits that should have been done: the first try in a row that ended with an error.
ALTER TABLE public.${log}_tasks ADD COLUMN held_since timestamptz;
CREATE FUNCTION public.emporium_held_${log}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.held_since := CASE WHEN NEW.error IS NOT NULL THEN coalesce(OLD.held_since, now()) END;
    RETURN NEW;
END $body$;
CREATE TRIGGER held_up BEFORE UPDATE ON public.${log}_tasks FOR EACH ROW
    WHEN ((NEW.error IS NULL) <> (OLD.held_since IS NULL)) EXECUTE FUNCTION public.emporium_held_${log}();
UPDATE public.${log}_tasks SET error = error WHERE error IS NOT NULL;
"""


def shared_migrations() -> list[str]:
    """The numbered steps of the tables that all logs of a database share."""
    return [_SHARED]


def log_migrations(log: str) -> list[str]:
    """The numbered steps of one log's tables. Raises ValueError for a name that is no plain identifier."""
    if not re.fullmatch(r"[a-z][a-z_]{0,39}", log):
        raise ValueError(f"{log!r} cannot name a log")
    return [_render(_LOG, log), _render(_HELD_UP, log)]


def _render(sql: str, log: str) -> str:
    return (
        sql.replace("${lock}", "hashtextextended('emporium log ${log}', 0)")
        .replace("${log}", log)
        .replace("${violation}", _VIOLATION)
        .replace("${fenced}", FENCED)
    )
