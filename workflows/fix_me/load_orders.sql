-- The error: the name of the column is ordered_on.
INSERT INTO fix_me.customer_order (order_id, product_id, pieces, orderd_on) VALUES
    (1, 1, 1, CAST(:run_date AS DATE)),
    (2, 3, 6, CAST(:run_date AS DATE)),
    (3, 2, 1, CAST(:run_date AS DATE)),
    (4, 3, 2, CAST(:run_date AS DATE));
